"""Remembers the last attempts of all tasks with their answers; the API tells a task's first and last."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import NamedTuple

from localcloud.tasks.delivery import Delivery
from localcloud.tasks.outcome import Outcome

# Of each sort, so that many successes leave the failures in sight. About 300 bytes each.
REMEMBERED_ATTEMPTS = 1000


class Attempt(NamedTuple):
    """An attempt that has ended. Times are microseconds since 1970; `status` 0: there was no answer."""

    queue: str
    task: str
    number: int
    began_us: int
    ended_us: int
    status: int
    reason: str
    end: str  # "success", "failure" or "given up"
    next_us: int  # 0: there will be no other


class AttemptHistory:
    """The last attempts that succeeded, and the last that did not."""

    def __init__(self) -> None:
        self._succeeded: deque[Attempt] = deque(maxlen=REMEMBERED_ATTEMPTS)
        self._others: deque[Attempt] = deque(maxlen=REMEMBERED_ATTEMPTS)

    def note(self, delivery: Delivery, outcome: Outcome, end: str, next_us: int = 0) -> None:
        """The attempt has ended."""
        task, attempts = delivery.task, delivery.task.attempts
        assert attempts is not None
        kept = self._succeeded if end == "success" else self._others
        kept.append(
            Attempt(
                task.queue.id,
                task.id,
                delivery.retry_count + 1,
                attempts.last_dispatch_us,
                attempts.last_response_us,
                outcome.status or 0,
                outcome.reason,
                end,
                next_us,
            )
        )

    def latest(self, queue: str | None, task: str | None, *, only_failed: bool = False) -> Iterator[Attempt]:
        """From the latest on, those of the queue and of the task, where one is named."""
        kept = [*self._others] if only_failed else [*self._others, *self._succeeded]
        for attempt in sorted(kept, key=lambda each: each.ended_us, reverse=True):
            if queue in (None, attempt.queue) and task in (None, attempt.task):
                yield attempt
