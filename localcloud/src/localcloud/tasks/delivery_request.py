"""The HTTP request that a delivery is: request line, headers and body, as the handler gets them."""

import random
import re
from collections.abc import Iterable
from http import HTTPStatus

from localcloud.proxy_headers import is_proxys_word
from localcloud.tasks.delivery import Delivery
from localcloud.tasks.http_target import Destination
from localcloud.tasks.messages import HTTP_METHODS, Message
from localcloud.tasks.outcome import DEADLINE_REASON, Outcome

APP_ENGINE_USER_AGENT = "AppEngine-Google; (+http://code.google.com/appengine)"
HTTP_USER_AGENT = "Google-Cloud-Tasks"
# Real service: requests of the queue and of cron come from this address (App Engine firewall documentation).
QUEUE_ADDRESS = "0.1.0.2"

# What a creator may not set, or what would change where the request ends. Hop-by-hop headers belong to one
# connection, which is ours.
_NEVER_SENT = frozenset(
    {
        "host",
        "content-length",
        "connection",
        "keep-alive",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "expect",
        "forwarded",
        "x-forwarded-for",
        "x-forwarded-proto",
        "x-forwarded-host",
    }
)
_LOOPBACK = re.compile(r"^127(?:\.\d+){3}(?=:\d+$)")
_NEVER_SENT_PREFIXES = ("x-google-", "x-appengine-", "x-cloudtasks-")


def app_engine_request(
    delivery: Delivery, random_bits: random.Random, host: str, limit_ms: int, *, fails_fast: bool
) -> bytes:
    """The request for a handler of the application, whose service may take `limit_ms` for an answer.

    Real service: App Engine's front end adds its own headers to a task's request, too (request headers
    reference).
    We differ: Host is `localhost` and the instance's port, and there is no
    X-AppEngine-Default-Version-Hostname, for a delivery does not pass the front end at home.
    """
    request = delivery.message.app_engine_http_request
    lines = [
        f"{HTTP_METHODS[request.http_method]} {request.relative_uri or '/'} HTTP/1.1\r\n"
        f"Host: {host_header(host)}\r\n",
    ]
    _add_task_headers(lines, delivery, "X-AppEngine-")
    if fails_fast:
        # Real service: set where a request must not wait for an instance to start (manual and basic scaling).
        lines.append("X-AppEngine-FailFast: true\r\n")
    lines.append(platform_headers(random_bits, limit_ms))
    return _assembled(lines, app_engine_headers(request), request.body, HTTP_METHODS[request.http_method])


def platform_headers(random_bits: random.Random, limit_ms: int) -> str:
    """The headers that the platform adds to each request of its own, a task's or a cron job's."""
    return (
        f"X-AppEngine-User-IP: {QUEUE_ADDRESS}\r\nX-Forwarded-For: {QUEUE_ADDRESS}\r\n"
        "X-Forwarded-Proto: http\r\nX-AppEngine-Https: off\r\nX-AppEngine-Country: ZZ\r\n"
        f"X-AppEngine-Timeout-Ms: {limit_ms}\r\n"
        f"X-AppEngine-Request-Log-Id: {random_bits.getrandbits(128):032x}\r\n"
        f"X-Cloud-Trace-Context: {random_bits.getrandbits(128):032x}/{random_bits.getrandbits(63)};o=0\r\n"
    )


def host_header(address: str) -> str:
    """What Host says to the instance at `address`, HOST:PORT. Frameworks accept a list of hosts, and a
    loopback address that was drawn for one run is in none.
    """
    return _LOOPBACK.sub("localhost", address)


def app_engine_headers(request: Message) -> dict[str, str]:
    """The creator's headers, with the service's defaults and without what a creator may not set."""
    headers = {
        name: value
        for name, value in creators_headers(request.headers.items()).items()
        if not is_proxys_word(name.lower().encode())
    }
    names = {name.lower(): name for name in headers}
    agent = names.get("user-agent", "User-Agent")
    # Real service: a User-Agent of one's own gets the default one appended (AppEngineHttpRequest.headers).
    headers[agent] = (
        f"{headers[agent]} {APP_ENGINE_USER_AGENT}" if agent in headers else APP_ENGINE_USER_AGENT
    )
    if request.body and "content-type" not in names:
        headers["Content-Type"] = "application/octet-stream"
    return headers


def http_request(delivery: Delivery, request: Message, to: Destination, authorization: str | None) -> bytes:
    """The request for an HTTP target; `request` is the HttpRequest as its queue has changed it."""
    method = HTTP_METHODS[request.http_method]
    lines = [f"{method} {to.path} HTTP/1.1\r\nHost: {to.host_header}\r\n"]
    _add_task_headers(lines, delivery, "X-CloudTasks-")
    headers = http_headers(request)
    if authorization is not None:
        for name in [name for name in headers if name.lower() == "authorization"]:
            del headers[name]
        headers["Authorization"] = authorization
    # Real service: a body is ignored when the queue turns the method into one that has none
    # (HttpTarget.http_method).
    body = request.body if method in ("POST", "PUT", "PATCH") else b""
    return _assembled(lines, headers, body, method)


def http_headers(request: Message) -> dict[str, str]:
    """The headers of an HttpRequest's creator, but for the User-Agent, which is the service's own."""
    headers = creators_headers(request.headers.items())
    for name in [name for name in headers if name.lower() == "user-agent"]:
        del headers[name]
    headers["User-Agent"] = HTTP_USER_AGENT
    return headers


def creators_headers(headers: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Those of a creator's headers that are sent.

    Real service: Host, X-Google-* and X-AppEngine-* can't be set (AppEngineHttpRequest.headers).
    We differ: whether the service refuses such a task or drops the header is not documented; here it is
    dropped. An underscore counts as a hyphen, as it does for a WSGI server: X_AppEngine_TaskName would reach
    a handler as X-AppEngine-TaskName.
    """
    sent: dict[str, str] = {}
    for name, value in headers:
        lower = name.lower().replace("_", "-")
        if lower not in _NEVER_SENT and not lower.startswith(_NEVER_SENT_PREFIXES):
            sent[name] = value
    return sent


def _add_task_headers(lines: list[str], delivery: Delivery, prefix: str) -> None:
    task = delivery.task
    seconds, micros = divmod(delivery.eta_us, 1_000_000)
    lines.append(
        f"{prefix}QueueName: {task.queue.id}\r\n{prefix}TaskName: {task.id}\r\n"
        f"{prefix}TaskRetryCount: {delivery.retry_count}\r\n"
        f"{prefix}TaskExecutionCount: {delivery.execution_count}\r\n"
        # Real service: seconds since 1970, with six decimals (observed; the SDK's stub prints microseconds).
        f"{prefix}TaskETA: {seconds}.{micros:06d}\r\n"
    )
    if delivery.previous is not None and delivery.retry_count:
        response, reason = _of_previous(delivery.previous, is_app_engine=delivery.is_app_engine)
        lines.append(f"{prefix}TaskPreviousResponse: {response}\r\n{prefix}TaskRetryReason: {reason}\r\n")


def _of_previous(outcome: Outcome, *, is_app_engine: bool) -> tuple[int, str]:
    """What a retry says about the attempt before it: TaskPreviousResponse and TaskRetryReason.

    Real service: the reason is one of two texts for App Engine and empty for an HTTP target; where there was
    no answer the response is 0, but 504 for an HTTP target's missed deadline (observed by the conformance
    tests of aertje/cloud-tasks-emulator, which record the service itself).
    """
    if is_app_engine:
        return outcome.status or 0, "Instance Unavailable" if outcome.status is None else "App Error"
    if outcome.status is None and outcome.reason == DEADLINE_REASON:
        return HTTPStatus.GATEWAY_TIMEOUT.value, ""
    return outcome.status or 0, ""


def _assembled(lines: list[str], headers: dict[str, str], body: bytes, method: str) -> bytes:
    lines += [f"{name}: {value}\r\n" for name, value in headers.items()]
    if body or method in ("POST", "PUT", "PATCH"):
        lines.append(f"Content-Length: {len(body)}\r\n")
    lines.append("\r\n")
    return "".join(lines).encode("utf-8") + body
