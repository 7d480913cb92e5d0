"""The page of cron.yaml's jobs: when each ran last and runs next; run one now."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from localcloud.console.console import Console
from localcloud.console.surroundings import side_port
from localcloud.console.web import Request, Response, see_other


def show(console: Console, request: Request) -> Response:
    """All jobs; without a cron.yaml, how to add some."""
    address = console.around.tasks_http
    found: list[dict[str, Any]] = side_port(address, "GET", "/cron")["jobs"] if address else []
    return console.page("cron.html", jobs=found, done=request.query.get("done"))


def run(console: Console, request: Request) -> Response:
    """Start a run of a job now. Raises Problem for one that is running."""
    number = request.form.get("job")
    job = side_port(console.around.tasks_http, "POST", f"/cron/run?job={quote(number, safe='')}")
    return see_other("/cron", done=f"A run of {job['url']} was started.")
