"""The page of cron.yaml's entries: when each ran last and runs next; run one now."""

from __future__ import annotations

from http import HTTPStatus

from localcloud.console.console import Console
from localcloud.console.errors import Problem
from localcloud.console.web import Request, Response


def show(console: Console, request: Request) -> Response:
    return console.page("cron.html", entries=[], done=request.query.get("done"))


def run(_console: Console, _request: Request) -> Response:
    """Request an entry's URL now."""
    raise Problem("There is no cron.yaml.", HTTPStatus.NOT_FOUND)
