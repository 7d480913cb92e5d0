"""Requests on their way in, before webapp2 sees them.

webapp2 answers some requests with a 500 of its own (a query that is not UTF-8, an unknown charset, a path
with %ff), which a queue would repeat for ever. So it sees only the method and a valid path; the
query and the content type travel beside, untouched, and the task's handler judges them.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from pushtasks import logs
from pushtasks.delivery import Delivery, delivery_of_request

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

PATH, QUERY, CONTENT_TYPE = "pushtasks.path", "pushtasks.query", "pushtasks.content_type"

UNREADABLE_PATH = "/_unreadable_path"
"""Where a request with a path that is not a line of UTF-8 is sent, for a handler to answer."""


def set_aside(application: WSGIApplication) -> WSGIApplication:
    """Wrap `application`, so that what webapp2 can't decode is kept from it."""

    def middleware(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        environ[PATH] = environ["PATH_INFO"]
        environ[QUERY] = environ.get("QUERY_STRING", "")
        environ[CONTENT_TYPE] = environ.get("CONTENT_TYPE", "")
        environ["QUERY_STRING"] = ""
        environ["CONTENT_TYPE"] = "application/octet-stream"
        if not _is_readable(environ[PATH]):
            environ["PATH_INFO"] = UNREADABLE_PATH
        logs.trace.set(environ.get("HTTP_X_CLOUD_TRACE_CONTEXT", "").partition("/")[0])
        logs.origin.set(environ.get("HTTP_X_TASK_TRACE", ""))
        return application(environ, start_response)

    return middleware


def _is_readable(path: str) -> bool:
    """Is it UTF-8, on one line? Routes end with $, which a line's end may follow."""
    try:
        path.encode("latin-1").decode("utf-8")
    except UnicodeDecodeError:
        return False
    return "\n" not in path


def headers_of(environ: WSGIEnvironment) -> dict[str, str]:
    """The request's headers, names in lower case."""
    return {
        name[5:].replace("_", "-").lower(): value
        for name, value in environ.items()
        if name.startswith("HTTP_") and isinstance(value, str)
    }


def body_of(environ: WSGIEnvironment) -> bytes:
    """The request's body, unchanged. Raises EOFError if its end is missing: half an amount is wrong."""
    stream = environ["wsgi.input"]
    length = environ.get("CONTENT_LENGTH") or ""
    if length.isascii() and length.isdigit():
        body = bytes(stream.read(int(length)))
        if len(body) < int(length):
            raise EOFError(f"The body ended after {len(body)} of {length} bytes.")
        return body
    return bytes(stream.read()) if environ.get("wsgi.input_terminated") else b""


def delivery_of(environ: WSGIEnvironment, headers: dict[str, str]) -> Delivery:
    """The delivery that a request carries; its headers name the task."""
    return delivery_of_request(
        headers, environ[PATH], environ[QUERY], environ[CONTENT_TYPE], body_of(environ)
    )
