"""The pages of queues: configuration, live figures, pause, resume, purge."""

from __future__ import annotations

from typing import Any

from localcloud.console.console import Console
from localcloud.console.errors import Problem
from localcloud.console.web import Request, Response, see_other
from localcloud.tasks.messages import BetaQueue, to_us

_DONE = {"pause": "is paused", "resume": "runs again"}


def queues(console: Console, request: Request) -> Response:
    """All queues, and the attempts that failed last."""
    return console.page(
        "queues.html",
        queues=summaries(console),
        failed=console.tasks.attempts(only_failed=True)[:20],
        location=console.around.location,
        done=request.query.get("done"),
    )


def queue(console: Console, request: Request) -> Response:
    """A queue, its tasks, and its last attempts."""
    name = request.query.get("name")
    only_failed = request.query.get("failed") == "1"
    found = console.tasks.queue(name)
    page = console.tasks.page(name, request.query.get("token"))
    return console.page(
        "queue.html",
        queue=_summary(found),
        settings=_settings(found),
        tasks=[task_row(each) for each in page.tasks],
        next=page.token,
        is_first=not request.query.get("token"),
        attempts=console.tasks.attempts(_short(name), only_failed=only_failed),
        only_failed=only_failed,
        done=request.query.get("done"),
    )


def change(console: Console, request: Request) -> Response:
    """Pause a queue, or resume it."""
    name, action = request.form.get("name"), request.form.get("action")
    if action not in _DONE:
        raise Problem(f"The action {action!r} is unknown. Expected pause or resume.")
    (console.tasks.pause if action == "pause" else console.tasks.resume)(name)
    return see_other("/tasks/queue", name=name, done=f"{_short(name)} {_DONE[action]}.")


def confirm_purge(console: Console, request: Request) -> Response:
    return console.page("purge.html", queue=_summary(console.tasks.queue(request.query.get("name"))))


def purge(console: Console, request: Request) -> Response:
    """Delete all tasks of a queue."""
    name = request.form.get("name")
    console.tasks.purge(name)
    return see_other("/tasks/queue", name=name, done=f"All tasks of {_short(name)} were deleted.")


def summaries(console: Console) -> list[dict[str, Any]]:
    """All queues with their figures."""
    return [_summary(each) for each in console.tasks.queues(console.around.location)]


def task_row(task: Any) -> dict[str, Any]:
    """A task as lists show it."""
    is_http = task.HasField("http_request")
    request = task.http_request if is_http else task.app_engine_http_request
    return {
        "name": task.name,
        "short": _short(task.name),
        "target": request.url if is_http else request.relative_uri,
        "service": "" if is_http else request.app_engine_routing.service or "default",
        "due_us": to_us(task.schedule_time),
        "created_us": to_us(task.create_time),
        "attempts": task.dispatch_count,
        "last": task.last_attempt.response_status.message,
    }


def _summary(queue: Any) -> dict[str, Any]:
    stats, limits = queue.stats, queue.rate_limits
    return {
        "name": queue.name,
        "short": _short(queue.name),
        "state": BetaQueue.State.Name(queue.state),
        "tasks": stats.tasks_count,
        "running": stats.concurrent_dispatches_count,
        "last_minute": stats.executed_last_minute_count,
        "rate": limits.max_dispatches_per_second,
        "effective_rate": stats.effective_execution_rate,
        "at_once": limits.max_concurrent_dispatches,
        "oldest_us": to_us(stats.oldest_estimated_arrival_time),
    }


def _settings(queue: Any) -> list[tuple[str, str]]:
    """What queue.yaml says, or the API has set; in the words of the API."""
    limits, retry = queue.rate_limits, queue.retry_config
    attempts = "unlimited" if retry.max_attempts == -1 else str(retry.max_attempts)
    found = [
        ("max_dispatches_per_second", f"{limits.max_dispatches_per_second:g}"),
        ("max_burst_size", str(limits.max_burst_size)),
        ("max_concurrent_dispatches", str(limits.max_concurrent_dispatches)),
        ("max_attempts", attempts),
        (
            "max_retry_duration",
            f"{to_us(retry.max_retry_duration) / 1e6:g} s" if retry.max_retry_duration else "-",
        ),
        ("min_backoff", f"{to_us(retry.min_backoff) / 1e6:g} s"),
        ("max_backoff", f"{to_us(retry.max_backoff) / 1e6:g} s"),
        ("max_doublings", str(retry.max_doublings)),
    ]
    routing = queue.app_engine_http_queue.app_engine_routing_override
    if routing.service:
        found.append(("routed to the service", routing.service))
    return found


def _short(name: str) -> str:
    return name.rpartition("/")[2]
