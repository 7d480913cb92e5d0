"""What every handler of this service has: the caller, the form, and answers."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from functools import cached_property
from typing import Any
from urllib.parse import parse_qsl

import webapp2
from webob.exc import HTTPException

from pushtasks.errors import Rejected, in_full
from pushtasks.names import parse_idempotency_key
from pushtasks.payload import charset_of, json_of, kind_of
from pushtasks.trust import Caller, caller_of
from pushtasks.web.page_requests import BODY, CONTENT_TYPE
from pushtasks.web.pages import render
from pushtasks.web.problems import Problem, problem_of, rendered
from pushtasks.web.task_requests import headers_of

log = logging.getLogger(__name__)


class Handler(webapp2.RequestHandler):
    """Parses a request, calls the domain once, renders."""

    @property
    def service(self) -> Any:
        """The application's `Service`."""
        return self.app.config["service"]

    @cached_property
    def headers(self) -> dict[str, str]:
        """The request's headers, names in lower case."""
        return headers_of(self.request.environ)

    @cached_property
    def caller(self) -> Caller:
        return caller_of(self.headers, self.service.settings)

    @property
    def body(self) -> bytes:
        return self.request.environ[BODY]  # type: ignore[no-any-return]

    @property
    def content_type(self) -> str:
        return self.request.environ[CONTENT_TYPE]  # type: ignore[no-any-return]

    @cached_property
    def form(self) -> dict[str, list[str]]:
        """A form's values by name. Raises Rejected for a body that is not a form."""
        if kind_of(self.content_type) != "application/x-www-form-urlencoded":
            raise Rejected("Content-Type", self.content_type, "application/x-www-form-urlencoded")
        charset_of(self.content_type)
        fields: dict[str, list[str]] = {}
        try:
            text = self.body.decode("ascii")
            pairs = parse_qsl(text, keep_blank_values=True, errors="strict", max_num_fields=2000)
        except ValueError:
            raise Rejected("body", self.body[:80], "percent-encoded UTF-8") from None
        for name, value in pairs:
            fields.setdefault(name, []).append(value)
        return fields

    def field(self, name: str, default: str = "") -> str:
        """One value of the form. Raises Rejected if it is given twice."""
        values = self.form.get(name, [default])
        if len(values) > 1:
            raise Rejected(name, values, "one value")
        return values[0]

    def json_object(self, expected: str, bare_list: str = "") -> dict[str, Any]:
        """The JSON object in the body. Raises Rejected if there is none.

        With `bare_list`, a list alone stands for the object that has it as this member.
        """
        if kind_of(self.content_type) != "application/json":
            raise Rejected("Content-Type", self.content_type or None, "application/json")
        value = json_of(self.body, charset_of(self.content_type))
        if isinstance(value, list) and bare_list:
            return {bare_list: value}
        if not isinstance(value, dict):
            raise Rejected("body", value, expected)
        return value

    @property
    def idempotency_key(self) -> str | None:
        """The request's key, None if it has none. Raises Rejected for one that can't be used."""
        return parse_idempotency_key(self.request.environ.get("HTTP_IDEMPOTENCY_KEY"))

    def query(self, name: str, default: str = "") -> str:
        return self.request.GET.get(name, default)  # type: ignore[no-any-return]

    def dispatch(self) -> None:
        with self.service.database.context():
            super().dispatch()

    def handle_exception(self, error: Exception, debug: bool) -> None:  # noqa: ARG002 - webapp2's signature
        answer_problem(self.request, self.response, error)

    def json(self, value: Any, status: int = 200) -> None:
        self._answer(status, "application/json", json.dumps(value).encode())

    def page(self, template: str, status: int = 200, **values: object) -> None:
        theme = self.request.cookies.get("theme")
        values["theme"] = theme if theme in ("light", "dark") else None
        html = render(template, caller=self.caller, settings=self.service.settings, **values)
        self._answer(status, "text/html; charset=utf-8", html.encode())

    def text(self, text: str, status: int = 200, content_type: str = "text/plain; charset=utf-8") -> None:
        self._answer(status, content_type, text.encode())

    def see_other(self, path: str) -> None:
        """Send the browser to one of our pages, by GET."""
        self.response.headers["Location"] = path
        self._answer(303, "text/plain; charset=utf-8", b"")

    def _answer(self, status: int, content_type: str, body: bytes) -> None:
        self.response.status_int = status
        self.response.headers["Content-Type"] = content_type
        self.response.body = body


class ReadHandler(Handler):
    """Answers GET, and HEAD as GET without the body."""

    get: Callable[..., None]

    def head(self, *args: str) -> None:
        self.get(*args)


def answer_problem(request: webapp2.Request, response: webapp2.Response, error: Exception) -> None:
    """Make `response` say what went wrong; used by handlers, and by webapp2 for what no handler answers."""
    problem = problem_of(error) or _routing_problem(request, error)
    if problem is None:
        log.error("Failed: %s %s", request.method, request.path, exc_info=error)
        problem = Problem(500, "This failed for a reason that is in the log.")
    elif problem.status >= 500:
        log.warning("%s %s: %s", request.method, request.path, in_full(error))
    status, headers, body = rendered(problem, request.environ.get("HTTP_ACCEPT", ""))
    response.status = status
    for name, value in headers:
        response.headers[name] = value
    response.body = body


def _routing_problem(request: webapp2.Request, error: Exception) -> Problem | None:
    """The problem with a request that webapp2 found no handler for."""
    if not isinstance(error, HTTPException):
        return None
    if error.code == 404:
        return Problem(
            404,
            f"There is nothing at {request.path}.",
            field="path",
            value=request.path,
            expected="an address of this service, such as / or /admin",
        )
    if error.code in (405, 501):
        allowed = error.headers.get("Allow", "")
        return Problem(
            405,
            f"{request.path} does not answer {request.method}.",
            headers={"Allow": allowed} if allowed else {},
            field="method",
            value=request.method,
            expected=f"one of {allowed}" if allowed else "a method that HTTP defines",
        )
    return None
