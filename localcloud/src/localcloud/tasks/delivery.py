"""One attempt to deliver a task, and what the dispatcher asks of those who carry it and record it."""

from collections.abc import Callable
from typing import Protocol

from localcloud.tasks.clock import Clock, Timer
from localcloud.tasks.messages import Message, Task
from localcloud.tasks.outcome import DEADLINE_REASON, Outcome
from localcloud.tasks.task import LiveTask


class Delivery:
    """One attempt of one task, as things stood when it was dispatched."""

    __slots__ = (
        "base_us",
        "deadline",
        "ended",
        "eta_us",
        "execution_count",
        "message",
        "previous",
        "request",
        "retry_count",
        "task",
    )

    def __init__(self, task: LiveTask) -> None:
        self.task = task
        self.message: Message = Task.FromString(task.message)
        self.eta_us = task.eta_us
        attempts = task.attempts
        self.retry_count = attempts.dispatch_count if attempts is not None else 0
        self.execution_count = 0
        if attempts is not None:
            # Real service: for an HTTP target answers of 5xx don't count, for App Engine all do (HTTP target
            # tasks documentation; so observed by the conformance tests of aertje/cloud-tasks-emulator).
            self.execution_count = attempts.response_count if self.is_app_engine else attempts.executed_count
        self.previous: Outcome | None = attempts.last_outcome if attempts is not None else None
        self.ended = False
        # From when the delay to the next attempt counts, if not from the failure.
        self.base_us: int | None = None
        self.request: Timer | None = None
        self.deadline: Timer | None = None

    @property
    def is_app_engine(self) -> bool:
        """To the application's own services, not to any URL."""
        return bool(self.message.HasField("app_engine_http_request"))


class Sender(Protocol):
    """Carries deliveries to their targets."""

    def send(self, delivery: Delivery, done: Callable[[Outcome], None]) -> Timer:
        """Start to send. `done` is called later, never at once, unless what is returned is cancelled."""

    def deadline_us(self, delivery: Delivery) -> int:
        """How long the target may take to answer."""


class Journal(Protocol):
    """Keeps on disk what has happened to tasks."""

    def update(self, task: LiveTask) -> None:
        """An attempt has failed; the task has a new time."""

    def remove(self, task: LiveTask) -> None:
        """The task is gone; its name stays taken for a while."""


class Watcher(Protocol):
    """Called for every attempt that ends: the log, the counters."""

    def succeeded(self, delivery: Delivery, outcome: Outcome) -> None: ...

    def failed(self, delivery: Delivery, outcome: Outcome, now_us: int) -> None:
        """There will be another attempt, at the task's new `eta_us`."""

    def gave_up(self, delivery: Delivery, outcome: Outcome) -> None: ...

    def expired(self, task: LiveTask) -> None:
        """The task was kept longer than its queue keeps tasks; it is gone unattempted."""

    def changed_pace(self, rate_per_second: float, task: LiveTask) -> None:
        """Congestion control has changed the rate of the task's queue."""


def send_aside(sender: Sender, clock: Clock, delivery: Delivery, done: Callable[[Outcome], None]) -> None:
    """Send `delivery` once more, outside its queue: its outcome has no effect but to call `done`."""
    request: Timer | None = None

    def pass_deadline() -> None:
        if request is not None:
            request.cancel()
        done(Outcome(None, DEADLINE_REASON))

    def end(outcome: Outcome) -> None:
        deadline.cancel()
        done(outcome)

    deadline = clock.call_at(clock.now_us() + sender.deadline_us(delivery), pass_deadline)
    request = sender.send(delivery, end)
