"""What firebase-admin expects of CLOUD_TASKS_EMULATOR_HOST: v2, with some quirks of Firebase's emulator.

Its paths have no version, an empty URL means the function that the queue is named after, and the new task is
in a field of its own, with a slash before its name.
"""

from __future__ import annotations

import json

from google.protobuf import json_format

from localcloud.tasks.messages import CreateTaskRequest, Message, Task

# Where Firebase's emulator of functions listens unless told otherwise, and its paths.
# We differ: Firebase's emulator of Cloud Tasks learns the address from the emulator of functions.
_FUNCTION_URL = "http://127.0.0.1:5001/{project}/{location}/{function}"


def complete(request: Message) -> None:
    """Give the new task in a CreateTaskRequest its function's URL, if it has none."""
    if not isinstance(request, CreateTaskRequest) or not request.task.HasField("http_request"):
        return
    parts = request.parent.split("/")
    if not request.task.http_request.url and len(parts) == 6:
        request.task.http_request.url = _FUNCTION_URL.format(
            project=parts[1], location=parts[3], function=parts[5]
        )


def write_response(response: Message) -> bytes:
    """A response as JSON."""
    values = json_format.MessageToDict(response)
    if isinstance(response, Task):
        values = {"task": {**values, "name": f"/{response.name}"}}
    return json.dumps(values).encode()
