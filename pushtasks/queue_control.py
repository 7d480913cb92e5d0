"""The queues as an administrator sees them: figures, tasks between retries, pause, resume, purge."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property, partial
from typing import Any, TypeVar

from google.cloud import tasks_v2, tasks_v2beta3
from google.cloud.tasks_v2beta3.services.cloud_tasks.transports import CloudTasksGrpcTransport
from google.protobuf.field_mask_pb2 import FieldMask

from pushtasks.channels import to_server_at_home
from pushtasks.delivery import DUE_AT_HEADER, handler_of, time_of
from pushtasks.errors import NotThere
from pushtasks.queues import TaskQueues, answered
from pushtasks.settings import Settings

T = TypeVar("T")

MOST_LISTED = 1000
"""Tasks listed of each queue: one page of ListTasks."""

_TIMEOUT_S = 3.0
_LIST_TIMEOUT_S = 10.0
_HTTP_STATUS = re.compile(r"HTTP status code (\d{3})")


@dataclass(frozen=True, slots=True)
class QueueFigures:
    """A queue's settings and its statistics, which Cloud Tasks calls estimates."""

    name: str
    state: str
    rate_per_s: float
    burst: int
    most_concurrent: int
    waiting: int
    next_due: datetime | None
    """When the task that is due first is, or was, to be tried."""
    in_flight: int
    executed_last_minute: int
    effective_rate_per_s: float
    purged_at: datetime | None

    @property
    def is_running(self) -> bool:
        return self.state == "running"


@dataclass(frozen=True, slots=True)
class RetryingTask:
    """A task that failed at least once and waits for its next attempt."""

    queue: str
    name: str
    path: str
    attempts: int
    last_status: str
    next_try: datetime
    created_at: datetime
    failed_at: datetime | None = None
    """When its last attempt ended."""

    @property
    def handler(self) -> str:
        """The kind of task."""
        return handler_of(self.path)


@dataclass(frozen=True, slots=True)
class Listing:
    """The tasks between retries among those that were listed, soonest first."""

    tasks: list[RetryingTask]
    oldest: dict[str, datetime]
    """Since when the oldest task that each queue listed, tried or not, has waited: since it was created, or
    first due if that was later. Tasks that are not due yet do not wait."""
    is_partial: bool
    """Whether a queue held more tasks than were listed."""
    at: datetime
    not_due: Mapping[str, int] = field(default_factory=dict)
    """How many of the tasks that each queue listed are for later, and were never tried."""


@dataclass(frozen=True, slots=True)
class _Listed:
    """What one queue listed."""

    queue: str
    retrying: list[RetryingTask]
    oldest: datetime | None
    not_due: int
    is_partial: bool


def wait_s(queue: QueueFigures, listing: Listing | None, now: datetime) -> float:
    """How long the queue's oldest task has waited, as far as its figures and the listing tell; 0 if empty.

    The figures know for how long a task is overdue, the listing when those that it saw were created. What
    the listing says is taken as of when it was made: its tasks may be done by now.
    """
    if not queue.waiting:
        return 0.0
    overdue_s = (now - queue.next_due).total_seconds() if queue.next_due else 0.0
    oldest = listing.oldest.get(queue.name) if listing else None
    listed_s = (listing.at - oldest).total_seconds() if listing and oldest else 0.0
    return max(overdue_s, listed_s, 0.0)


class QueueControl:
    """One per process; threads may share it. Nothing is sent before first use.

    Each method raises OutcomeUnknown if Cloud Tasks does not answer, or QueueRefused if it will not do it.
    """

    def __init__(self, queues: TaskQueues, names: Sequence[str], settings: Settings) -> None:
        """`names` are the queues of all kinds of task."""
        self.names = tuple(names)
        self._queues = queues
        self._settings = settings
        self._pool = ThreadPoolExecutor(max_workers=8, thread_name_prefix="queues")

    @cached_property
    def _beta(self) -> tasks_v2beta3.CloudTasksClient:
        # Statistics are in v2beta3 only.
        if self._settings.tasks_emulator:
            channel = to_server_at_home(self._settings.tasks_emulator)
            return tasks_v2beta3.CloudTasksClient(transport=CloudTasksGrpcTransport(channel=channel))
        return answered(tasks_v2beta3.CloudTasksClient)

    def figures(self) -> list[QueueFigures]:
        """All queues, in the order of the declarations."""
        return self.begin_figures()()

    def begin_figures(self) -> Callable[[], list[QueueFigures]]:
        """Ask for the figures; calling what it returns waits for them."""
        return self._begin(self._figures_of)

    def between_retries(self, now: datetime) -> Listing:
        """The tasks between retries, of the first 1,000 that each queue lists."""
        listed = self._begin(partial(self._listed, now))()
        return Listing(
            tasks=sorted((task for each in listed for task in each.retrying), key=lambda task: task.next_try),
            oldest={each.queue: each.oldest for each in listed if each.oldest is not None},
            is_partial=any(each.is_partial for each in listed),
            at=now,
            not_due={each.queue: each.not_due for each in listed if each.not_due},
        )

    def get(self, queue: str, task: str) -> tasks_v2.Task | None:
        """A pending task with its payload; None if it is gone."""
        return self._queues.get(task, queue)

    def run(self, queue: str, task: str) -> bool:
        """Have it tried now, even if it is not due or its queue is paused; False if it does not exist."""
        return self._unless_gone(
            lambda: self._queues.client.run_task(
                name=self._queues.path_of(queue, task), timeout=_TIMEOUT_S, retry=None
            )
        )

    def delete(self, queue: str, task: str) -> bool:
        """Remove it from the queue; False if it is gone."""
        return self._unless_gone(
            lambda: self._queues.client.delete_task(
                name=self._queues.path_of(queue, task), timeout=_TIMEOUT_S, retry=None
            )
        )

    def pause(self, queue: str) -> None:
        self._change(self._queues.client.pause_queue, queue)

    def resume(self, queue: str) -> None:
        self._change(self._queues.client.resume_queue, queue)

    def purge(self, queue: str) -> None:
        """Remove all tasks that the queue holds. They are gone, and never applied."""
        self._change(self._queues.client.purge_queue, queue)

    def _change(self, method: Callable[..., Any], queue: str) -> None:
        answered(lambda: method(name=self._queues.path_of(queue), timeout=_TIMEOUT_S, retry=None))

    def _unless_gone(self, call: Callable[[], Any]) -> bool:
        try:
            answered(call)
        except NotThere:
            return False
        return True

    def _begin(self, ask: Callable[[str], T]) -> Callable[[], list[T]]:
        """Ask for every queue at once."""
        answers = self._pool.map(ask, self.names)
        return lambda: list(answers)

    def _figures_of(self, name: str) -> QueueFigures:
        request = tasks_v2beta3.GetQueueRequest(
            name=self._queues.path_of(name),
            read_mask=FieldMask(paths=["name", "state", "rate_limits", "purge_time", "stats"]),
        )
        try:
            queue = answered(lambda: self._beta.get_queue(request, timeout=_TIMEOUT_S, retry=None))
        except NotThere:
            return QueueFigures(name, "missing", 0.0, 0, 0, 0, None, 0, 0, 0.0, None)
        limits, stats = queue.rate_limits, queue.stats
        return QueueFigures(
            name=name,
            state=queue.state.name.lower(),
            rate_per_s=limits.max_dispatches_per_second,
            burst=limits.max_burst_size,
            most_concurrent=limits.max_concurrent_dispatches,
            waiting=stats.tasks_count,
            next_due=moment_of(stats.oldest_estimated_arrival_time),
            in_flight=stats.concurrent_dispatches_count,
            executed_last_minute=stats.executed_last_minute_count,
            effective_rate_per_s=stats.effective_execution_rate,
            purged_at=moment_of(queue.purge_time),
        )

    def _listed(self, now: datetime, name: str) -> _Listed:
        request = tasks_v2.ListTasksRequest(parent=self._queues.path_of(name), page_size=MOST_LISTED)
        try:
            pager = answered(
                lambda: self._queues.client.list_tasks(request, timeout=_LIST_TIMEOUT_S, retry=None)
            )
        except NotThere:
            return _Listed(name, [], None, 0, False)
        page = next(pager.pages)._pb  # plain messages: a thousand wrapped ones take ten times as long
        waiting = [
            task for task in page.tasks if _is_retrying(task) or _of_timestamp(task.schedule_time) <= now
        ]
        return _Listed(
            queue=name,
            retrying=[_retrying(name, task) for task in waiting if _is_retrying(task)],
            oldest=min(map(_waiting_since, waiting), default=None),
            not_due=len(page.tasks) - len(waiting),
            is_partial=bool(page.next_page_token),
        )


def _is_retrying(task: Any) -> bool:
    """Whether an attempt has ended, and not by success: then the task would be gone."""
    return bool(task.dispatch_count > 1 or task.last_attempt.HasField("response_time"))


def _waiting_since(task: Any) -> datetime:
    created = _of_timestamp(task.create_time)
    if not _is_retrying(task):
        return max(created, _of_timestamp(task.schedule_time))
    # Its schedule time is that of its next try; our own header says when it was first due.
    headers = {name.lower(): value for name, value in task.app_engine_http_request.headers.items()}
    return max(created, time_of(headers.get(DUE_AT_HEADER.lower())) or created)


def _retrying(queue: str, task: Any) -> RetryingTask:
    status = task.last_attempt.response_status
    found = _HTTP_STATUS.search(status.message)
    return RetryingTask(
        queue=queue,
        name=task.name.rpartition("/")[2],
        path=task.app_engine_http_request.relative_uri or "/",
        attempts=task.dispatch_count,
        last_status=found.group(1) if found else status.message or "no answer",
        next_try=_of_timestamp(task.schedule_time),
        created_at=_of_timestamp(task.create_time),
        failed_at=_of_timestamp(task.last_attempt.response_time)
        if task.last_attempt.HasField("response_time")
        else None,
    )


def moment_of(value: Any) -> datetime | None:
    """What a time of a message says; None if it says none."""
    return datetime.fromtimestamp(value.timestamp(), value.tzinfo) if value else None


def _of_timestamp(value: Any) -> datetime:
    return datetime.fromtimestamp(value.seconds + value.nanos / 1e9, UTC)
