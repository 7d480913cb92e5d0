"""The page of processes: what runs, how much memory it takes, how often it was restarted; restart one."""

from __future__ import annotations

import time
from http import HTTPStatus
from pathlib import Path
from typing import Any

from localcloud.console.console import Console
from localcloud.console.errors import Problem
from localcloud.console.web import Request, Response, see_other
from localcloud.supervisor.orders import give
from localcloud.testing.memory import own_set_size, proportional_set_sizes

_PATIENCE_SECONDS = 3.0


def show(console: Console, request: Request) -> Response:
    """Services with their processes, then the local cloud's own processes."""
    rows = processes(console)
    supervisor = console.around.state().get("pid")
    own = own_set_size(supervisor) if supervisor else 0
    sizes = proportional_set_sizes(row["pid"] for row in rows if row["pid"])
    for row in rows:
        row["memory"] = sizes.get(row["pid"]) or None
    return console.page(
        "instances.html",
        services=[row for row in rows if row["service"]],
        platform=[row for row in rows if not row["service"]],
        state=console.around.state(),
        data=console.around.data.absolute(),
        supervisor=supervisor,
        supervisor_memory=own or None,
        total=own + sum(row["memory"] or 0 for row in rows),
        can_restart=console.around.orders is not None,
        done=request.query.get("done"),
    )


def restart(console: Console, request: Request) -> Response:
    """Have the supervisor restart one process; returns once it has, or a little later."""
    label = request.form.get("label")
    before = _process(console, label)
    if console.around.orders is None:
        raise Problem("This console was not started by a supervisor: nobody could restart a process.")
    give(console.around.orders, "restart", label)
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while time.monotonic() < deadline:
        now = _process(console, label)
        if now["restarts"] > before["restarts"] and now["ready"]:
            return see_other("/instances", done=f"{label} was restarted.")
        time.sleep(0.05)
    return see_other("/instances", done=f"{label} is being restarted.")


def processes(console: Console) -> list[dict[str, Any]]:
    """A row for each process."""
    state = console.around.state()
    services = {
        instance["label"]: (name, instance["url"])
        for name, service in state.get("services", {}).items()
        for instance in service["instances"]
    }
    rows = []
    for label, process in state.get("processes", {}).items():
        service, url = services.get(label, ("", ""))
        rows.append(
            {
                "label": label,
                "service": service,
                "url": url,
                "pid": process["pid"],
                "is_ready": process["ready"],
                "restarts": process["restarts"],
                "age": _age(process["pid"]),
            }
        )
    return rows


def _process(console: Console, label: str) -> Any:
    found = console.around.state().get("processes", {}).get(label)
    if found is None:
        raise Problem(f"There is no process {label!r}.", HTTPStatus.NOT_FOUND)
    return found


def _age(pid: int | None) -> str:
    """How long the process has been running: `12 s`, `5 min`, `3 h`."""
    try:
        seconds = time.time() - Path(f"/proc/{pid}").stat().st_ctime
    except OSError:
        return ""
    for unit, size in (("s", 1), ("min", 60), ("h", 3600), ("days", 86400)):
        if seconds < {"s": 120, "min": 7200, "h": 172800}.get(unit, float("inf")):
            return f"{seconds / size:.0f} {unit}"
    return ""
