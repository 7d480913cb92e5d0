"""Creating tasks, one or many: if no answer comes, the request is repeated under the same name."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

from pushtasks.errors import NoBatches, OutcomeUnknown, QueueRefused, TaskExists, in_full
from pushtasks.queues import MOST_TASKS_A_BATCH, NewTask, TaskQueues

log = logging.getLogger(__name__)

_TRIES = 3
_PAUSE_S = 0.1
_PATIENCE_S = 4.0
"""After a silence that lasted longer, such as until a call's deadline, no new try is begun: whoever asks
waits, and keeps a thread."""


class Created(NamedTuple):
    """The outcome of one creation."""

    failure: Exception | None
    """None: created. Otherwise TaskExists, OutcomeUnknown or QueueRefused."""
    is_unsure: bool = False
    """Whether an earlier answer got lost: the task may exist since then."""


class Creator:
    """One per process; threads may share it."""

    def __init__(self, queues: TaskQueues, sleep: Callable[[float], None] = time.sleep) -> None:
        self._queues = queues
        self._sleep = sleep
        self._batches = ThreadPoolExecutor(max_workers=8, thread_name_prefix="batches")
        self._singles = ThreadPoolExecutor(max_workers=16, thread_name_prefix="creates")

    def create(self, tasks: Sequence[NewTask]) -> list[Created]:
        """The outcome of each, in order, after at most three tries.

        A refusal after a lost answer says nothing about the task, which may exist: the outcome stays unknown.
        """
        came_of: dict[str, Created] = {}
        pending = list(tasks)
        for attempt in self._attempts():
            unanswered: list[NewTask] = []
            causes: set[str] = set()
            for task, failure in zip(pending, self._create_once(pending), strict=True):
                if failure is not None and not isinstance(failure, TaskExists):
                    causes.add(in_full(failure))
                if isinstance(failure, OutcomeUnknown):
                    unanswered.append(task)
                elif isinstance(failure, QueueRefused) and attempt:
                    continue
                came_of[task.name] = Created(failure, is_unsure=attempt > 0)
            for cause in causes:
                log.warning("Creating %d tasks: %s", len(pending), cause)
            pending = unanswered
            if not pending:
                break
        return [came_of[task.name] for task in tasks]

    def _attempts(self) -> Iterator[int]:
        """The numbers of the attempts, from 0, with pauses in between; fewer if the queue is silent."""
        began_s = time.monotonic()
        for number in range(_TRIES):
            if number:
                if time.monotonic() - began_s > _PATIENCE_S:
                    return
                self._sleep(_PAUSE_S * number)
            yield number

    def _create_once(self, tasks: Sequence[NewTask]) -> list[Exception | None]:
        """In batches of one queue each, the batches at once."""
        if len(tasks) == 1:
            return [self._create_single(tasks[0])]
        by_queue: dict[str, list[NewTask]] = {}
        for task in tasks:
            by_queue.setdefault(task.queue, []).append(task)
        batches = [
            of_queue[start : start + MOST_TASKS_A_BATCH]
            for of_queue in by_queue.values()
            for start in range(0, len(of_queue), MOST_TASKS_A_BATCH)
        ]
        failures: dict[str, Exception | None] = {}
        for batch, of_batch in zip(batches, self._batches.map(self._create_batch, batches), strict=True):
            failures.update(zip((task.name for task in batch), of_batch, strict=True))
        return [failures[task.name] for task in tasks]

    def _create_batch(self, batch: Sequence[NewTask]) -> list[Exception | None]:
        try:
            return self._queues.create_batch(batch)
        except NoBatches:
            return list(self._singles.map(self._create_single, batch))

    def _create_single(self, task: NewTask) -> Exception | None:
        try:
            self._queues.create(task)
        except (TaskExists, OutcomeUnknown, QueueRefused) as failure:
            return failure
        return None
