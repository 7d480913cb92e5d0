"""The first page: what runs, what failed last, queues, kinds."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from localcloud.console.console import Console
from localcloud.console.errors import Problem
from localcloud.console.instance_pages import processes
from localcloud.console.keys import Database
from localcloud.console.kinds import all_kinds
from localcloud.console.queue_pages import summaries
from localcloud.console.web import Request, Response

_MOST_ROWS = 10


def show(console: Console, _: Request) -> Response:
    """Each part by itself: a server that doesn't answer is reported, and the others are shown."""
    where = Database(console.around.project)
    return console.page(
        "overview.html",
        state=console.around.state(),
        processes=_part(lambda: processes(console)),
        queues=_part(lambda: summaries(console)),
        failed=_part(lambda: console.tasks.attempts(only_failed=True)[:_MOST_ROWS]),
        kinds=_part(lambda: sorted(all_kinds(console, where), key=lambda each: -each.count)[:_MOST_ROWS]),
        where=console.where,
        location=console.around.location,
    )


def _part(read: Callable[[], Any]) -> dict[str, Any]:
    try:
        return {"rows": read(), "problem": ""}
    except Problem as problem:
        return {"rows": [], "problem": problem.text}
