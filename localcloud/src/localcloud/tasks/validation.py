"""What a task may be: everything CreateTask refuses, with the documented code and a message that says why."""

import re

from localcloud.tasks.clock import SECOND_US
from localcloud.tasks.errors import invalid
from localcloud.tasks.messages import HTTP_METHODS, Message, to_us
from localcloud.tasks.names import shown
from localcloud.tasks.queue_config import DAY_US
from localcloud.tasks.queue_messages import retry_policy
from localcloud.tasks.retry import RetryPolicy
from localcloud.tasks.url import MAX_URL_LENGTH, encoded

# Real service: 1 MiB by the quota page, and when it was probed, for either kind of target
# (aertje/cloud-tasks-emulator); the docstring of CreateTask says 100 KB.
MAX_TASK_BYTES = 1024 * 1024
MAX_HTTP_HEADER_BYTES = 80 * 1024
MAX_DELAY_US = 30 * DAY_US
MIN_DEADLINE_US = 15 * SECOND_US
# Real service: 24 hours and 15 seconds for App Engine, 30 minutes for others (Task.dispatch_deadline).
MAX_APP_ENGINE_DEADLINE_US = DAY_US + 15 * SECOND_US
MAX_HTTP_DEADLINE_US = 30 * 60 * SECOND_US

_APP_ENGINE_BODY_METHODS = frozenset({"POST", "PUT"})
_HTTP_BODY_METHODS = frozenset({"POST", "PUT", "PATCH"})
_URI = re.compile(r"[!-~]+")  # printable ASCII without the space
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_HEADER_VALUE = re.compile(r"[\t -~\x80-\uffff]*")


def check_task(task: Message, now_us: int, retry_defaults: RetryPolicy) -> int:
    """When the new Task `task`, whose URL is encoded, is to be attempted first, in microseconds.

    Raises ApiError.
    """
    kind = task.WhichOneof("message_type")
    if kind is None:
        raise invalid("Task.app_engine_http_request or Task.http_request is missing. Expected one of them.")
    size = task.ByteSize()
    if size > MAX_TASK_BYTES:
        raise invalid(f"Task size too large: {size:,} bytes. Expected at most {MAX_TASK_BYTES:,}.")
    if kind == "app_engine_http_request":
        _check_app_engine_request(task.app_engine_http_request)
        longest_us = MAX_APP_ENGINE_DEADLINE_US
    else:
        _check_http_request(task.http_request)
        longest_us = MAX_HTTP_DEADLINE_US
    if task.HasField("dispatch_deadline"):
        _check_deadline(to_us(task.dispatch_deadline), longest_us, may_be_zero=kind != "http_request")
    if task.HasField("retry_config"):
        retry_policy(task.retry_config, retry_defaults)
    return _eta_us(task, now_us)


def _eta_us(task: Message, now_us: int) -> int:
    if not task.HasField("schedule_time"):
        return now_us
    time = task.schedule_time
    if not 0 <= time.nanos < 1_000_000_000:
        raise invalid(f"Task.schedule_time has {time.nanos} nanoseconds. Expected 0 to 999,999,999.")
    eta_us = to_us(time)
    if eta_us > now_us + MAX_DELAY_US:
        raise invalid(
            "Task.schedule_time is more than 30 days ahead. Expected a time within 30 days from now."
        )
    # Real service: a time that is past becomes now (CreateTaskRequest.task).
    return max(eta_us, now_us)


def _check_app_engine_request(request: Message) -> None:
    uri = request.relative_uri
    # Real service: empty means "/" (AppEngineHttpRequest.relative_uri).
    if uri and not (uri.startswith("/") and _URI.fullmatch(uri) and "#" not in uri):
        raise invalid(
            f"AppEngineHttpRequest.relative_uri is {shown(uri)}. "
            'Expected a path that begins with "/", in ASCII, without spaces or "#"; percent-encode others.'
        )
    if len(uri) > MAX_URL_LENGTH:
        raise invalid(
            f"AppEngineHttpRequest.relative_uri has {len(uri):,} characters. "
            f"Expected at most {MAX_URL_LENGTH:,}."
        )
    _check_body(request, "AppEngineHttpRequest", _APP_ENGINE_BODY_METHODS)
    _check_headers(request.headers, "AppEngineHttpRequest")


def _check_http_request(request: Message) -> None:
    request.url = encoded(request.url)
    _check_body(request, "HttpRequest", _HTTP_BODY_METHODS)
    _check_headers(request.headers, "HttpRequest")
    size = sum(len(name) + len(value) for name, value in request.headers.items())
    if size >= MAX_HTTP_HEADER_BYTES:
        raise invalid(
            f"HttpRequest.headers take {size:,} bytes. Expected less than {MAX_HTTP_HEADER_BYTES:,}."
        )


def _check_body(request: Message, kind: str, methods: frozenset[str]) -> None:
    number = request.http_method
    if number >= len(HTTP_METHODS):
        raise invalid(f"{kind}.http_method is {number}. Expected one of HttpMethod.")
    method = HTTP_METHODS[number]
    if request.body and method not in methods:
        raise invalid(
            f"{kind}.body is set, but http_method is {method}. Expected {' or '.join(sorted(methods))}."
        )


def _check_headers(headers: Message, kind: str) -> None:
    seen: set[str] = set()
    for name, value in headers.items():
        if not _HEADER_NAME.fullmatch(name):
            raise invalid(
                f"{kind}.headers has the name {shown(name)}. Expected letters, digits and -!#$%&'*+.^_`|~."
            )
        if not _HEADER_VALUE.fullmatch(value):
            raise invalid(f"{kind}.headers has a control character in the value of {shown(name)}.")
        lower = name.lower()
        if lower in seen:
            # Real service: repeated headers are not supported; a value may hold commas
            # (AppEngineHttpRequest).
            raise invalid(
                f"{kind}.headers has {shown(name)} twice. Expected each name once, whatever its case."
            )
        seen.add(lower)


def _check_deadline(deadline_us: int, longest_us: int, *, may_be_zero: bool) -> None:
    if may_be_zero and deadline_us == 0:
        return
    if not MIN_DEADLINE_US <= deadline_us <= longest_us:
        raise invalid(
            f"Task.dispatch_deadline is {deadline_us / SECOND_US:g} s. "
            f"Expected {MIN_DEADLINE_US // SECOND_US} s to {longest_us // SECOND_US:,} s."
        )
