"""The page of logs, and the part of it that is fetched again while somebody follows."""

from __future__ import annotations

from typing import Any

from localcloud.console.console import Console
from localcloud.console.log_lines import LEVELS, LogFilter, latest
from localcloud.console.web import Fields, Request, Response, address
from localcloud.supervisor.timeline import SUPERVISOR

MOST_LINES = 200
_NAMES = ("service", "level", "text", "trace", "task")


def show(console: Console, request: Request) -> Response:
    """The last lines that pass the filter."""
    wanted = _filter(request.query)
    params = {name: getattr(wanted, name) for name in _NAMES}
    return console.page(
        "logs.html",
        wanted=wanted,
        levels=LEVELS,
        services=[*console.around.state().get("processes", {}), SUPERVISOR],
        fragment=address("/logs/lines", **params),
        here=address("/logs", **params),
        **_lines(console, wanted),
    )


def lines(console: Console, request: Request) -> Response:
    """The lines alone."""
    return console.page("_log_lines.html", **_lines(console, _filter(request.query)))


def _filter(query: Fields) -> LogFilter:
    return LogFilter(*(query.get(name).strip() for name in _NAMES))


def _lines(console: Console, wanted: LogFilter) -> dict[str, Any]:
    found = latest(console.around.data / "logs", wanted, MOST_LINES)
    return {"lines": found, "is_filtered": wanted != LogFilter(), "most": MOST_LINES}
