"""The names of locations, queues and tasks, and what they may consist of."""

import re

from localcloud.tasks.errors import invalid

# Real service: Queue.name and Task.name say which characters, and how many.
_LOCATION = r"projects/[A-Za-z0-9:.-]+/locations/[A-Za-z0-9-]+"
_QUEUE = rf"{_LOCATION}/queues/[A-Za-z0-9-]{{1,100}}"
_LOCATION_NAME = re.compile(_LOCATION)
_QUEUE_NAME = re.compile(_QUEUE)
_TASK_NAME = re.compile(rf"({_QUEUE})/tasks/([A-Za-z0-9_-]{{1,500}})")


def check_location(name: str) -> str:
    """`name`, if it is a location's. Raises ApiError."""
    if not _LOCATION_NAME.fullmatch(name):
        raise invalid(
            f"Location name {shown(name)} is malformed. Expected projects/PROJECT/locations/LOCATION."
        )
    return name


def check_queue(name: str) -> str:
    """`name`, if it is a queue's. Raises ApiError."""
    if not _QUEUE_NAME.fullmatch(name):
        raise invalid(
            f"Queue name {shown(name)} is malformed. "
            "Expected projects/PROJECT/locations/LOCATION/queues/QUEUE, "
            "QUEUE of 1 to 100 letters, digits and hyphens."
        )
    return name


def split_task(name: str) -> tuple[str, str]:
    """The queue's name and the task's short id in a task's name. Raises ApiError."""
    found = _TASK_NAME.fullmatch(name)
    if not found:
        raise invalid(
            f"Task name {shown(name)} is malformed. "
            "Expected projects/PROJECT/locations/LOCATION/queues/QUEUE/tasks/TASK, "
            "TASK of 1 to 500 letters, digits, hyphens and underscores."
        )
    return found[1], found[2]


def shown(text: str) -> str:
    """`text` as a message shows it: quoted, and cut if it is long."""
    return repr(text if len(text) <= 200 else f"{text[:200]}...")
