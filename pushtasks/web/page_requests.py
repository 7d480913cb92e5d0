"""Requests on their way in and answers on their way out, around webapp2.

webapp2 answers some requests with a 500 (a path with %ff, a query that is not UTF-8): they are answered here,
with an error that says what was wrong. It never sees the Content-Type, whose charset it would look up;
handlers judge that. Bodies are read here, up to the limit. Every answer gets the security headers here, so
that none can be forgotten.
"""

from __future__ import annotations

from collections.abc import Iterable
from io import BytesIO
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote_to_bytes

from pushtasks import logs
from pushtasks.errors import Rejected
from pushtasks.trust import SECURITY_HEADERS
from pushtasks.web.problems import Problem, invalid, rendered

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

BODY, CONTENT_TYPE = "pushtasks.body", "pushtasks.content_type"

_ON_EVERY_ANSWER = list(SECURITY_HEADERS.items())
_OURS = frozenset(name.lower() for name in SECURITY_HEADERS)


def guard(application: WSGIApplication, most_body_bytes: int) -> WSGIApplication:
    """Wrap `application`, so that it sees only requests that it can read."""

    def middleware(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        logs.trace.set(environ.get("HTTP_X_CLOUD_TRACE_CONTEXT", "").partition("/")[0])

        def start(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Any:
            kept = [pair for pair in headers if pair[0].lower() not in _OURS]
            return start_response(status, [*kept, *_ON_EVERY_ANSWER], exc_info)

        try:
            _check_readable(environ)
            body = _read_body(environ, most_body_bytes)
        except Rejected as unreadable:
            problem = invalid(unreadable)
        except Problem as too_large:
            problem = too_large
        else:
            environ[BODY] = body
            environ[CONTENT_TYPE] = environ.get("CONTENT_TYPE", "")
            environ["CONTENT_TYPE"] = "application/octet-stream"
            environ["wsgi.input"] = BytesIO(body)
            environ["CONTENT_LENGTH"] = str(len(body))
            return application(environ, start)
        status, headers, answer = rendered(problem, environ.get("HTTP_ACCEPT", ""))
        start(status, headers)
        return [b"" if environ["REQUEST_METHOD"] == "HEAD" else answer]

    return middleware


def _check_readable(environ: WSGIEnvironment) -> None:
    """Raises Rejected for what webapp2 can't decode."""
    path = environ["PATH_INFO"]
    if not path.isascii():
        try:
            path.encode("latin-1").decode("utf-8")
        except UnicodeDecodeError:
            raise Rejected("path", path, "percent-encoded UTF-8") from None
    query = environ.get("QUERY_STRING")
    if query:
        try:
            unquote_to_bytes(query.encode("latin-1")).decode("utf-8")
        except UnicodeDecodeError:
            raise Rejected("query string", query, "percent-encoded UTF-8") from None


def _read_body(environ: WSGIEnvironment, most: int) -> bytes:
    """The whole body. Raises Problem if there is more than `most` bytes of it."""
    declared = environ.get("CONTENT_LENGTH")
    if declared:
        if not (declared.isascii() and declared.isdigit()):
            raise Rejected("Content-Length", declared, "a whole number")
        if len(declared.lstrip("0")) > len(str(most)) or (length := int(declared)) > most:
            raise _too_large(most)
        body: bytes = environ["wsgi.input"].read(length) if length else b""
        if len(body) < length:
            raise Rejected("body", f"{len(body)} bytes", f"the {length} bytes that Content-Length says")
        return body
    if environ.get("wsgi.input_terminated"):
        # A chunked body: the server says where it ends.
        body = environ["wsgi.input"].read(most + 1)
        if len(body) > most:
            raise _too_large(most)
        return body
    return b""


def _too_large(most: int) -> Problem:
    return Problem(
        413,
        f"The body is too large. Expected at most {most} bytes.",
        field="body",
        expected=f"at most {most} bytes",
    )
