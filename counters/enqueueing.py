"""Putting increments on a queue, with honest answers.

The task's name is chosen first. If the queue's answer gets lost, the same name is asked for again, so that
there is one task at most. With an Idempotency-Key the name follows from the key: a caller who repeats a
request gets the same task.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from enum import StrEnum

from counters import naming
from counters.applying import payload_digest
from counters.database import Database
from counters.increments import Increment
from counters.models import TaskRecord
from counters.queues import (
    MOST_TASKS_A_BATCH,
    NewTask,
    OutcomeUnknown,
    QueueRefused,
    TaskExists,
    TaskQueues,
)
from counters.tasks import Clock, in_full, utc_now
from counters.updating import HANDLER

log = logging.getLogger(__name__)

PATH = "/update-counter"

_TRIES = 3
_PAUSE_S = 0.1
_PATIENCE_S = 4.0
"""A silence that lasted longer, such as until a call's deadline, is told and not tried again: whoever asks
waits, and keeps a thread."""

_OTHER_PAYLOAD = "its name is taken by another payload; send it under a new Idempotency-Key"
_REMOVED = "it was removed from its queue and has not been counted; send it under a new Idempotency-Key"


class State(StrEnum):
    """What a caller is told of an increment."""

    ENQUEUED = "enqueued"
    DUPLICATE = "duplicate"
    """Recorded or pending before this request first tried: counted once, by the earlier one."""
    ACCEPTED = "accepted"
    """Enqueued, but an answer got lost: whether by this request or an earlier one can't be told."""
    UNKNOWN = "unknown"
    """No answer, however often we asked. Ask for the task by its name, or repeat under the same key."""
    REMOVED = "removed"
    """Neither recorded nor pending, yet its name is taken: purged, or deleted from the queue by hand. The
    queue won't take the name again for a while, so send it under a new key."""
    REFUSED = "refused"
    """The queue will not take it."""


@dataclass(frozen=True, slots=True)
class Enqueued:
    """What became of one increment."""

    task: str
    state: State
    detail: str = ""


class KeyReused(Exception):
    """The Idempotency-Key was used before, with another payload. Nothing was enqueued."""


class Enqueuer:
    """Enqueues increments. One per process; threads may share it. Calls need a Datastore context."""

    def __init__(
        self,
        queues: TaskQueues,
        database: Database,
        clock: Clock = utc_now,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._queues = queues
        self._database = database
        self._clock = clock
        self._sleep = sleep
        self._pool = ThreadPoolExecutor(max_workers=8, thread_name_prefix="batches")
        self._singles = ThreadPoolExecutor(max_workers=16, thread_name_prefix="creates")

    def increment(self, increment: Increment, key: str | None = None) -> Enqueued:
        """Enqueue one increment. Raises KeyReused."""
        if key is None:
            return self._create(self._task(naming.random_name(), increment))
        task = self._task(naming.keyed_name(HANDLER, increment.counter, key), increment)
        return self._known(task) or self._create_keyed(task)

    def increments(self, increments: Sequence[Increment], key: str | None = None) -> list[Enqueued]:
        """Enqueue many; an answer for each, in order. Raises KeyReused, and then none is enqueued."""
        if key is None:
            return self._create_all([self._task(naming.random_name(), each) for each in increments])
        # Each payload names the whole batch, and the first task is the gate: another batch under the same
        # key finds it taken by another payload before it has enqueued anything.
        batch = payload_digest(json.dumps([[each.counter, each.amount] for each in increments]).encode())
        first, *others = [
            self._task(naming.keyed_name(HANDLER, "batch", key, index), each, batch)
            for index, each in enumerate(increments)
        ]
        gate = self._known(first) or self._create_keyed(first)
        if gate.state is State.ENQUEUED:
            return [gate, *self._create_all(others, keyed=True)]
        if gate.state in (State.UNKNOWN, State.REFUSED):
            # The gate may stand open to another batch, so nothing may go in behind it.
            return [gate, *(Enqueued(task.name, gate.state, gate.detail) for task in others)]
        if gate.state is State.REMOVED:
            # Whose batch it was can't be told any more. So nothing goes in, but what did is told.
            digests = self._taken_by(others)
            return [gate, *(self._answer(task, digests) for task in others)]
        recorded = self._recorded(others)
        answers = {
            task.name: _duplicate(task, recorded[task.name]) for task in others if task.name in recorded
        }
        created = self._create_all([task for task in others if task.name not in recorded], keyed=True)
        answers |= {answer.task: answer for answer in created}
        return [gate, *(answers[task.name] for task in others)]

    def _task(self, name: str, increment: Increment, batch: str | None = None) -> NewTask:
        payload: dict[str, object] = {"counter": increment.counter, "amount": increment.amount}
        if batch is not None:
            payload["batch"] = batch
        return NewTask(
            name=name,
            queue=naming.queue_of(name, self._queues.names),
            body=json.dumps(payload, separators=(",", ":")).encode(),
            path=PATH,
            enqueued_at_s=self._clock().timestamp(),
        )

    def _known(self, task: NewTask) -> Enqueued | None:
        """The answer for a task whose outcome is recorded; None if it isn't. Raises KeyReused."""
        [record] = self._database.get([TaskRecord.key_of(HANDLER, task.name)])
        if record is None:
            return None
        return _duplicate(task, record.payload_digest)

    def _create(self, task: NewTask) -> Enqueued:
        """Create a task whose name is nobody else's."""
        return self._settled(task, self._attempt(task)[0])

    def _create_keyed(self, task: NewTask) -> Enqueued:
        """Create a task whose name may be taken, with this or another payload. Raises KeyReused."""
        answer, unsure = self._attempt(task)
        if not isinstance(answer, TaskExists):
            return self._settled(task, answer)
        return self._answer(task, self._taken_by([task]), unsure=unsure)

    def _taken_by(self, tasks: Sequence[NewTask]) -> dict[str, str]:
        """The payloads' digests of those tasks that are recorded or pending, by name."""
        digests = self._recorded(tasks)
        digests |= self._pending([task for task in tasks if task.name not in digests])
        # What is in neither may have been delivered and recorded between the two looks.
        return digests | self._recorded([task for task in tasks if task.name not in digests])

    @staticmethod
    def _answer(task: NewTask, digests: Mapping[str, str], *, unsure: bool = False) -> Enqueued:
        """The answer for a task whose name is taken. Raises KeyReused if by another payload.

        With `unsure`, an answer got lost before, so the name may be taken by our own earlier try.
        """
        if task.name not in digests:
            return Enqueued(task.name, State.REMOVED, _REMOVED)
        duplicate = _duplicate(task, digests[task.name])
        return Enqueued(task.name, State.ACCEPTED) if unsure else duplicate

    def _recorded(self, tasks: Sequence[NewTask]) -> dict[str, str]:
        """The payloads' digests of those tasks that are recorded, by name."""
        found = self._database.get([TaskRecord.key_of(HANDLER, task.name) for task in tasks])
        return {
            task.name: record.payload_digest
            for task, record in zip(tasks, found, strict=True)
            if record is not None
        }

    def _pending(self, tasks: Sequence[NewTask]) -> dict[str, str]:
        """The payloads' digests of those tasks that their queues hold, by name."""
        found = self._singles.map(lambda task: self._queues.get(task.name, task.queue), tasks)
        return {
            task.name: payload_digest(pending.app_engine_http_request.body)
            for task, pending in zip(tasks, found, strict=True)
            if pending is not None
        }

    def _attempt(self, task: NewTask) -> tuple[Exception | None, bool]:
        """The queue's last answer, and whether an answer before it got lost.

        A refusal after a lost answer says nothing of the task, which may be there since.
        """
        lost: Exception | None = None
        for _ in self._tries():
            try:
                self._queues.create(task)
                return None, False
            except OutcomeUnknown as unknown:
                lost = unknown
            except TaskExists as taken:
                return taken, lost is not None
            except QueueRefused as refused:
                lost = lost or refused
                break
        if lost is not None:
            log.warning("Task %s: %s", task.name, in_full(lost))
        return lost, True

    def _tries(self) -> Iterator[int]:
        """The numbers of the tries, from 0, with pauses between them; fewer if the queue is silent."""
        began_s = time.monotonic()
        for number in range(_TRIES):
            if number:
                if time.monotonic() - began_s > _PATIENCE_S:
                    return
                self._sleep(_PAUSE_S * number)
            yield number

    @staticmethod
    def _settled(task: NewTask, answer: Exception | None) -> Enqueued:
        """The answer for a name that is ours alone: if it is taken, then by our own earlier try."""
        if answer is None or isinstance(answer, TaskExists):
            return Enqueued(task.name, State.ENQUEUED)
        state = State.UNKNOWN if isinstance(answer, OutcomeUnknown) else State.REFUSED
        return Enqueued(task.name, state, str(answer))

    def _create_all(self, tasks: Sequence[NewTask], *, keyed: bool = False) -> list[Enqueued]:
        """Create many tasks, in batches of one queue each, the batches in parallel."""
        answers: dict[str, Enqueued] = {}
        pending = list(tasks)
        for attempt in self._tries():
            unknown: list[NewTask] = []
            taken: list[NewTask] = []
            failures: set[str] = set()
            for task, failure in self._create_batches(pending):
                if isinstance(failure, TaskExists):
                    if keyed:
                        taken.append(task)
                        continue
                elif failure is not None:
                    failures.add(in_full(failure))
                if isinstance(failure, OutcomeUnknown):
                    unknown.append(task)
                elif isinstance(failure, QueueRefused) and attempt:
                    continue  # the answer stays `unknown`: the task may be there since the earlier try
                answers[task.name] = self._settled(task, failure)
            for text in failures:
                log.warning("Tasks of a batch: %s", text)
            digests = self._taken_by(taken) if taken else {}
            for task in taken:
                try:
                    answers[task.name] = self._answer(task, digests, unsure=attempt > 0)
                except KeyReused:
                    # Others of this batch may be enqueued by now.
                    answers[task.name] = Enqueued(task.name, State.REFUSED, _OTHER_PAYLOAD)
            pending = unknown
            if not pending:
                break
        return [answers[task.name] for task in tasks]

    def _create_batches(self, tasks: Sequence[NewTask]) -> list[tuple[NewTask, Exception | None]]:
        by_queue: dict[str, list[NewTask]] = {}
        for task in tasks:
            by_queue.setdefault(task.queue, []).append(task)
        batches = [
            of_queue[start : start + MOST_TASKS_A_BATCH]
            for of_queue in by_queue.values()
            for start in range(0, len(of_queue), MOST_TASKS_A_BATCH)
        ]
        failures = self._pool.map(self._create_batch, batches)
        return [
            pair
            for batch, answers in zip(batches, failures, strict=True)
            for pair in zip(batch, answers, strict=True)
        ]

    def _create_batch(self, batch: Sequence[NewTask]) -> list[Exception | None]:
        try:
            return self._queues.create_batch(batch)
        except NotImplementedError:
            return list(self._singles.map(self._create_single, batch))

    def _create_single(self, task: NewTask) -> Exception | None:
        try:
            self._queues.create(task)
        except (TaskExists, OutcomeUnknown, QueueRefused) as failure:
            return failure
        return None


def _duplicate(task: NewTask, earlier_digest: str) -> Enqueued:
    if earlier_digest != payload_digest(task.body):
        raise KeyReused(task.name)
    return Enqueued(task.name, State.DUPLICATE)
