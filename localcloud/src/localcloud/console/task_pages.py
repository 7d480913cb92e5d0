"""The pages of one task: payload, headers, schedule, attempts; run, delete, create by hand."""

from __future__ import annotations

import re
from http import HTTPStatus
from typing import Any

import grpc

from localcloud.console.calls import Refused
from localcloud.console.console import Console
from localcloud.console.errors import Problem
from localcloud.console.queue_pages import task_row
from localcloud.console.times import parse_timestamp
from localcloud.console.typed_json import base64_text, parse_base64
from localcloud.console.web import Request, Response, see_other
from localcloud.tasks.messages import HTTP_METHODS, Task

_SHOWN_BYTES = 64 * 1024
_HEADER = re.compile(r"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*(.*?)[ \t]*")
_FIELDS = ("queue", "name", "target", "method", "service", "headers", "body", "encoding", "when")


def show(console: Console, request: Request) -> Response:
    """A task that waits or runs; of one that is gone, the attempts that are remembered."""
    name = request.query.get("name")
    queue, _, short = name.partition("/tasks/")
    attempts = console.tasks.attempts(queue.rpartition("/")[2], short)
    task = None
    try:
        task = console.tasks.task(name)
    except Refused as refused:
        if refused.code != grpc.StatusCode.NOT_FOUND or not attempts:
            raise
    return console.page(
        "task.html",
        name=name,
        short=short,
        queue=queue,
        queue_short=queue.rpartition("/")[2],
        task=_details(task) if task is not None else None,
        attempts=attempts,
        done=request.query.get("done"),
    )


def change(console: Console, request: Request) -> Response:
    """Attempt the task now, or delete it."""
    name, action = request.form.get("name"), request.form.get("action")
    short = name.rpartition("/")[2]
    if action == "run":
        console.tasks.run(name)
        return see_other("/tasks/task", name=name, done="An attempt was started.")
    if action == "delete":
        console.tasks.delete(name)
        return see_other("/tasks/queue", name=name.partition("/tasks/")[0], done=f"{short} was deleted.")
    raise Problem(f"The action {action!r} is unknown. Expected run or delete.")


def new(console: Console, request: Request) -> Response:
    """The form of a new task: an empty one, or a copy."""
    copied = request.query.get("copy")
    if copied:
        task = _details(console.tasks.task(copied))
        is_binary = not task["is_text"]
        given = {
            "queue": copied.partition("/tasks/")[0],
            "target": task["target"],
            "method": task["method"],
            "service": task["service"],
            "headers": "\n".join(f"{name}: {value}" for name, value in task["given_headers"]),
            "body": task["base64"] if is_binary else task["body"],
            "encoding": "base64" if is_binary else "text",
        }
        return _new_page(console, given)
    return _new_page(console, {"queue": request.query.get("queue")})


def create(console: Console, request: Request) -> Response:
    """Put a task on a queue."""
    given = {name: request.form.get(name) for name in _FIELDS}
    try:
        created = console.tasks.create(given["queue"], _task(given))
    except Problem as problem:
        return _new_page(console, given, f"No task was created: {problem.text}")
    # It may be done by now: then there is no task any more, but its attempt.
    return see_other(
        "/tasks/queue", name=given["queue"], done=f"{created.name.rpartition('/')[2]} was created."
    )


def _details(task: Any) -> dict[str, Any]:
    is_http = task.HasField("http_request")
    request = task.http_request if is_http else task.app_engine_http_request
    body = request.body
    try:
        text = body.decode()
        is_text = "\0" not in text
    except UnicodeDecodeError:
        text, is_text = "", False
    headers = sorted(request.headers.items())
    made = {"content-length", "user-agent"}
    return {
        **task_row(task),
        "method": HTTP_METHODS[request.http_method],
        "headers": headers,
        "given_headers": [(name, value) for name, value in headers if name.lower() not in made],
        "deadline": f"{task.dispatch_deadline.seconds} s"
        if task.HasField("dispatch_deadline")
        else "of its target",
        "size": len(body),
        "is_text": is_text,
        "body": text,
        "shown": text[:_SHOWN_BYTES] if is_text else _dump(body[:2048]),
        "is_cut": len(body) > (_SHOWN_BYTES if is_text else 2048),
        "base64": base64_text(body),
        "responses": task.response_count,
    }


def _dump(data: bytes) -> str:
    """Sixteen bytes a line, as hexadecimal numbers and as text."""
    lines = []
    for start in range(0, len(data), 16):
        part = data[start : start + 16]
        text = "".join(chr(byte) if 32 <= byte < 127 else "." for byte in part)
        lines.append(f"{start:06x}  {part.hex(' '):<47}  {text}")
    return "\n".join(lines)


def _new_page(console: Console, given: dict[str, str], problem: str = "") -> Response:
    defaults = dict.fromkeys(_FIELDS, "") | {"method": "POST", "encoding": "text", "target": "/"}
    return console.page(
        "new_task.html",
        status=HTTPStatus.BAD_REQUEST if problem else HTTPStatus.OK,
        given=defaults | given,
        queues=[each.name for each in console.tasks.queues(console.around.location)],
        methods=HTTP_METHODS[1:],
        services=list(console.around.state().get("services", {})),
        problem=problem,
    )


def _task(given: dict[str, str]) -> Any:
    """The Task message that the form describes. Raises Problem."""
    task = Task()
    if given["name"].strip():
        task.name = f"{given['queue']}/tasks/{given['name'].strip()}"
    target = given["target"].strip()
    if target.startswith(("http://", "https://")):
        request = task.http_request
        request.url = target
    else:
        request = task.app_engine_http_request
        request.relative_uri = target
        if given["service"]:
            request.app_engine_routing.service = given["service"]
    if given["method"] not in HTTP_METHODS:
        raise Problem(
            f"The method {given['method']!r} is unknown. Expected one of {', '.join(HTTP_METHODS[1:])}."
        )
    request.http_method = HTTP_METHODS.index(given["method"], 1)
    for line in filter(str.strip, given["headers"].splitlines()):
        found = _HEADER.fullmatch(line)
        if found is None:
            raise Problem(f"{line!r} is not a header. Expected Name: value.")
        request.headers[found[1]] = found[2]
    body = given["body"].replace("\r\n", "\n")
    request.body = parse_base64(body) if given["encoding"] == "base64" else body.encode()
    if given["when"].strip():
        parse_timestamp(given["when"], task.schedule_time)
    return task
