"""google.cloud.tasks over HTTP/1.1 and JSON: the same methods as over gRPC."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import parse_qs

import grpc
from aiohttp import web

from localcloud.tasks import firebase
from localcloud.tasks.counts import Counts
from localcloud.tasks.errors import ApiError, invalid
from localcloud.tasks.grpc_methods import Method, call
from localcloud.tasks.http_rules import find_rule
from localcloud.transcoding import (
    Form,
    Malformed,
    answer_form,
    form_of,
    write_message,
    write_refusal,
)


class HttpApi:
    """`methods`, by the API's version and their names."""

    def __init__(self, methods: Mapping[str, Mapping[str, Method]], counts: Counts) -> None:
        self._methods = methods
        self._counts = counts

    def is_call(self, path: str) -> bool:
        """Is it a path of the API?"""
        return self._split(path) is not None

    async def answer(self, request: web.Request) -> web.Response:
        """What a call is answered."""
        query = parse_qs(request.query_string, keep_blank_values=True)
        alt = (query.get("$alt") or query.get("alt") or [""])[-1]
        form = Form.JSON
        try:
            form = answer_form(form, alt)
            content = await self._call(request, query, form)
            return web.Response(body=content, headers={"Content-Type": form.content_type})
        except Malformed as malformed:
            return _refusal(invalid(malformed.message), form)
        except ApiError as error:
            return _refusal(error, form)

    async def _call(self, request: web.Request, query: dict[str, list[str]], form: Form) -> bytes:
        version, path = self._split(request.rel_url.raw_path) or ("", "")
        rule = find_rule(request.method, path)
        method = self._methods[version or "v2"].get(rule.method) if rule is not None else None
        if rule is None or method is None:
            raise ApiError(
                grpc.StatusCode.NOT_FOUND,
                f"There is no {request.method} {request.path[:200]!r}. "
                "Expected a path of the API's REST reference, such as "
                "GET /v2/projects/PROJECT/locations/LOCATION/queues.",
            )
        content = await request.read()
        if content and form_of(request.headers.get("Content-Type", "")) is not Form.JSON:
            raise Malformed("The body is protobuf. Expected JSON, and Content-Type application/json.")
        message = rule.request(method.request, path, query, content)
        if not version:
            firebase.complete(message)
        response = await call(rule.method, method, message, message.ByteSize(), self._counts)
        return write_message(response, form) if version else firebase.write_response(response)

    def _split(self, path: str) -> tuple[str, str] | None:
        """The version, empty for firebase-admin, and what follows; None for what is not a path of the API."""
        if path.startswith("/projects/"):
            return "", path[1:]
        version, slash, rest = path[1:].partition("/")
        return (version, rest) if slash and version in self._methods else None


def _refusal(error: ApiError, form: Form) -> web.Response:
    status, content = write_refusal(error.code, error.message, form)
    return web.Response(status=status, body=content, headers={"Content-Type": form.content_type})
