"""A task as the API shows it: what its creator gave, completed by the service."""

from localcloud.tasks.delivery_request import app_engine_headers, http_headers
from localcloud.tasks.messages import FULL_VIEW, HTTP_METHODS, Message, Task, set_us
from localcloud.tasks.queue_messages import host_of, routing
from localcloud.tasks.sender import HTTP_DEADLINE_US
from localcloud.tasks.task import LiveTask, describe_attempts

_POST = HTTP_METHODS.index("POST", 1)


def shown(task: LiveTask, view: int) -> Message:
    """The task in that view."""
    message = Task.FromString(task.message)
    describe(task, message, view)
    return message


def describe(task: LiveTask, message: Message, view: int) -> None:
    """Complete `message`, which holds what the creator gave; in any view but FULL remove the body.

    Real service: the defaults of a task's method, path, headers and deadline are shown in either view, a
    header keeps its creator's spelling, and host is output only (Task; AppEngineHttpRequest.headers; observed
    by the conformance tests of aertje/cloud-tasks-emulator).
    """
    message.name = task.name
    message.view = view
    # Real service: create_time is cut to whole seconds (Task.create_time).
    message.create_time.seconds = task.create_us // 1_000_000
    set_us(message.schedule_time, task.eta_us)
    if task.attempts is not None:
        describe_attempts(task.attempts, message)
    if message.HasField("app_engine_http_request"):
        request = message.app_engine_http_request
        _describe_app_engine_request(request, project=task.name.split("/")[1])
    else:
        request = message.http_request
        _replace(request.headers, http_headers(request))
        if not message.HasField("dispatch_deadline"):
            set_us(message.dispatch_deadline, HTTP_DEADLINE_US)
    request.http_method = request.http_method or _POST
    if view != FULL_VIEW:
        request.ClearField("body")


def _describe_app_engine_request(request: Message, project: str) -> None:
    headers = app_engine_headers(request)
    if request.body:
        headers["Content-Length"] = str(len(request.body))
    _replace(request.headers, headers)
    request.relative_uri = request.relative_uri or "/"
    request.app_engine_routing.host = host_of(routing(request.app_engine_routing), project)


def _replace(headers: Message, by: dict[str, str]) -> None:
    headers.clear()
    headers.update(by)
