"""Creating many tasks at once: BatchCreateTasks, or one call for each where a server has none."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

from pushtasks.errors import OutcomeUnknown, QueueRefused, TaskExists
from pushtasks.queues import MOST_TASKS_A_BATCH, NewTask, TaskQueues

TRIES = 3
"""How often a creation is asked for that was not answered."""

PAUSE_S = 0.1


class QueueBatches:
    """One per process; threads may share it."""

    def __init__(self, queues: TaskQueues, sleep: Callable[[float], None] = time.sleep) -> None:
        self._queues = queues
        self._sleep = sleep
        self._pool = ThreadPoolExecutor(max_workers=8, thread_name_prefix="batches")
        self._singles = ThreadPoolExecutor(max_workers=16, thread_name_prefix="creates")

    def create(self, tasks: Sequence[NewTask]) -> list[Exception | None]:
        """For each task, in order: None, or what its creation failed with.

        What was not answered is asked for again, under the same name, three times in all. TaskExists may
        then mean that an earlier try has created it.
        """
        answers: dict[str, Exception | None] = {}
        pending = list(tasks)
        for attempt in range(TRIES):
            if attempt:
                self._sleep(PAUSE_S * attempt)
            answers.update(self._create_once(pending))
            pending = [task for task in pending if isinstance(answers[task.name], OutcomeUnknown)]
            if not pending:
                break
        return [answers[task.name] for task in tasks]

    def _create_once(self, tasks: Sequence[NewTask]) -> dict[str, Exception | None]:
        by_queue: dict[str, list[NewTask]] = {}
        for task in tasks:
            by_queue.setdefault(task.queue, []).append(task)
        batches = [
            of_queue[start : start + MOST_TASKS_A_BATCH]
            for of_queue in by_queue.values()
            for start in range(0, len(of_queue), MOST_TASKS_A_BATCH)
        ]
        answers: dict[str, Exception | None] = {}
        for batch, failures in zip(batches, self._pool.map(self._create_batch, batches), strict=True):
            answers.update(zip((task.name for task in batch), failures, strict=True))
        return answers

    def _create_batch(self, batch: Sequence[NewTask]) -> list[Exception | None]:
        if len(batch) > 1:
            try:
                return self._queues.create_batch(batch)
            except NotImplementedError:
                pass  # one by one, then
        return list(self._singles.map(self._create_single, batch))

    def _create_single(self, task: NewTask) -> Exception | None:
        try:
            self._queues.create(task)
        except (TaskExists, OutcomeUnknown, QueueRefused) as failure:
            return failure
        return None
