"""From a request to its page: who may ask, which function answers, how a refusal looks."""

from __future__ import annotations

import secrets
import time
import traceback
from collections.abc import Callable, Mapping
from http import HTTPStatus

from localcloud.console import (
    cron_pages,
    data_pages,
    entity_pages,
    instance_pages,
    log_pages,
    overview,
    queue_pages,
    task_pages,
    transfer_pages,
)
from localcloud.console.console import Console
from localcloud.console.errors import Problem
from localcloud.console.pages import FOLDER, SAFE_HEADERS
from localcloud.console.web import Request, Response
from localcloud.http_guard import Body, HttpGuard

Handler = Callable[[Console, Request], Response]
ROUTES: Mapping[str, Handler] = {
    "GET /": overview.show,
    "GET /data": data_pages.kinds,
    "GET /data/kind": data_pages.entities,
    "GET /data/gql": data_pages.gql,
    "GET /data/find": entity_pages.find,
    "GET /data/entity": entity_pages.show,
    "POST /data/entity": entity_pages.save,
    "GET /data/new": entity_pages.new,
    "POST /data/new": entity_pages.add,
    "GET /data/delete": entity_pages.confirm_delete,
    "POST /data/delete": entity_pages.delete,
    "GET /data/delete-kind": data_pages.confirm_delete_kind,
    "POST /data/delete-kind": data_pages.delete_kind,
    "GET /data/export": transfer_pages.export,
    "GET /data/import": transfer_pages.form,
    "POST /data/import": transfer_pages.import_lines,
    "GET /tasks": queue_pages.queues,
    "GET /tasks/queue": queue_pages.queue,
    "POST /tasks/queue": queue_pages.change,
    "GET /tasks/purge": queue_pages.confirm_purge,
    "POST /tasks/purge": queue_pages.purge,
    "GET /tasks/task": task_pages.show,
    "POST /tasks/task": task_pages.change,
    "GET /tasks/new": task_pages.new,
    "POST /tasks/new": task_pages.create,
    "GET /logs": log_pages.show,
    "GET /logs/lines": log_pages.lines,
    "GET /instances": instance_pages.show,
    "POST /instances": instance_pages.restart,
    "GET /cron": cron_pages.show,
    "POST /cron": cron_pages.run,
}
_STATIC = {
    "/static/console.css": "text/css; charset=utf-8",
    "/static/console.js": "text/javascript; charset=utf-8",
    "/static/icon.svg": "image/svg+xml",
}


class Application:
    """Answers requests."""

    def __init__(self, console: Console, guard: HttpGuard, token: str) -> None:
        self._console = console
        self._guard = guard
        self._token = token
        self.last_asked = time.monotonic()

    def admit(self, request: Request) -> Response | None:
        """Why a request is refused by its head alone; None: it may pass."""
        self.last_asked = time.monotonic()
        refusal = self._guard.refusal(request.method, request.headers.get, Body.FORM)
        header = request.headers.get
        if header("sec-fetch-site") == "cross-site" and header("sec-fetch-dest", "document") != "document":
            # A link may lead here; another site's page must not make the console act without being seen.
            refusal = refusal or "Pages of other sites may link to this one, and load nothing from it."
        return None if refusal is None else _text(HTTPStatus.FORBIDDEN, refusal)

    def answer(self, request: Request) -> Response:
        """The page. Never raises: what fails unexpectedly is a 500, and a trace in the log."""
        try:
            response = self._answer(request)
        except Problem as problem:
            response = self._console.page("problem.html", status=problem.status, problem=problem.text)
        except Exception:  # noqa: BLE001 - the browser must get an answer
            traceback.print_exc()
            text = "The console failed. Its log has the trace: logs/console.log in the data folder."
            response = self._console.page(
                "problem.html", status=HTTPStatus.INTERNAL_SERVER_ERROR, problem=text
            )
        response.headers = {**SAFE_HEADERS, **response.headers}
        return response

    def _answer(self, request: Request) -> Response:
        if request.path in _STATIC and request.method != "POST":
            body = (FOLDER / request.path[1:]).read_bytes()
            return Response(HTTPStatus.OK, body, _STATIC[request.path], {"Cache-Control": "no-cache"})
        method = "GET" if request.method == "HEAD" else request.method
        handler = ROUTES.get(f"{method} {request.path}")
        if handler is None:
            raise Problem(f"There is no page {request.path}.", HTTPStatus.NOT_FOUND)
        if method == "POST" and not secrets.compare_digest(
            request.form.get("token").encode(), self._token.encode()
        ):
            raise Problem(
                "This form was made by an earlier run of the console: nothing was changed. "
                "Go back, load the page again, and repeat what you did.",
                HTTPStatus.FORBIDDEN,
            )
        return handler(self._console, request)


def _text(status: int, text: str) -> Response:
    return Response(status, f"{text}\n".encode(), "text/plain; charset=utf-8", dict(SAFE_HEADERS))
