"""Putting tasks on their queues, with honest answers.

A task's name is chosen first. If the queue's answer gets lost, the same name is asked for again, so that
there is one task at most. With a key the name follows from the kind and the key: a caller who repeats a
request gets the same task.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from pushtasks import names
from pushtasks.creation import Created, Creator
from pushtasks.database import Database
from pushtasks.delivery import Clock, payload_digest, utc_now
from pushtasks.entities import TaskRecord
from pushtasks.errors import KeyReused, OutcomeUnknown, Rejected, TaskExists
from pushtasks.payload import canonical_json
from pushtasks.queues import NewTask, TaskQueues
from pushtasks.task import AnyTask, Kinds
from pushtasks.work import MOST_PAYLOAD_BYTES, due_time

log = logging.getLogger(__name__)


class State(StrEnum):
    """The result of enqueueing a task."""

    ENQUEUED = "enqueued"
    DUPLICATE = "duplicate"
    """The same task is pending or recorded: an earlier request enqueued it."""
    ACCEPTED = "accepted"
    """Enqueued, but an answer got lost: by this request or an earlier one; it isn't known which."""
    REMOVED = "removed"
    """An earlier request enqueued it, and it is gone without a record: purged, or deleted from its queue."""
    UNKNOWN = "unknown"
    """No answer, however often we asked. Ask for the task by its name, or repeat under the same key."""
    REFUSED = "refused"
    """The queue will not take it."""


@dataclass(frozen=True, slots=True)
class Enqueued:
    """The answer for one task."""

    task: str
    state: State
    outcome: str = ""
    """Of a duplicate: `pending`, or what its record says, such as `applied`."""
    detail: str = ""

    @property
    def is_there(self) -> bool:
        """Whether the task will be, or has been, delivered."""
        return self.state in (State.ENQUEUED, State.DUPLICATE, State.ACCEPTED)


class Tasks:
    """Enqueues tasks of every kind. One per process; threads may share it. Calls need a context."""

    def __init__(
        self,
        kinds: Kinds,
        queues: TaskQueues,
        database: Database,
        clock: Clock = utc_now,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._kinds = kinds
        self._queues = queues
        self._database = database
        self._clock = clock
        self._creator = Creator(queues, sleep)

    def enqueue(
        self,
        task: type[AnyTask],
        payload: Any,
        *,
        key: str | None = None,
        at: datetime | None = None,
        delay: timedelta | None = None,
    ) -> Enqueued:
        """Enqueue one task. `payload` is what JSON can hold, such as `{"guest": "ada"}`.

        With a `key`, the same call again is a duplicate for as long as the task's record lives; raises
        KeyReused if the key came with another payload before. `at` (with a time zone) or `delay` says when it
        is first due. Raises Rejected for a payload that no queue takes.
        """
        if key is None:
            new = self._new_task(task, names.random_name(), payload, at, delay)
            return self._said(new, self._creator.create([new])[0])
        new = self._new_task(task, names.keyed_name(task.name, key), payload, at, delay)
        return self._recorded(task, new) or self._create_keyed(task, new)

    def enqueue_many(
        self,
        task: type[AnyTask],
        payloads: Sequence[Any],
        *,
        at: datetime | None = None,
        delay: timedelta | None = None,
    ) -> list[Enqueued]:
        """Enqueue a task for each payload, in calls of 100; an answer for each, in order."""
        new = [self._new_task(task, names.random_name(), payload, at, delay) for payload in payloads]
        answers = self._creator.create(new)
        return [self._said(each, answer) for each, answer in zip(new, answers, strict=True)]

    def _new_task(
        self,
        task: type[AnyTask],
        name: str,
        payload: Any,
        at: datetime | None,
        delay: timedelta | None,
    ) -> NewTask:
        kind, now, body = self._kinds.of(task), self._clock(), canonical_json(payload)
        if len(body) > MOST_PAYLOAD_BYTES:
            raise Rejected("payload", f"{len(body)} bytes", f"at most {MOST_PAYLOAD_BYTES} bytes of JSON")
        return NewTask(
            name=name,
            queue=names.queue_of(name, kind.queues),
            body=body,
            path=kind.path,
            service=kind.service,
            enqueued_at=now,
            due_at=due_time(now, at, delay),
        )

    def _create_keyed(self, task: type[AnyTask], new: NewTask) -> Enqueued:
        """Create a task whose name may be taken, with this or another payload. Raises KeyReused."""
        [created] = self._creator.create([new])
        if not isinstance(created.failure, TaskExists):
            return self._said(new, created)
        known = self._known(task, new)
        if known is None:
            return Enqueued(
                new.name, State.REMOVED, detail="It was enqueued before, and removed from its queue."
            )
        return Enqueued(new.name, State.ACCEPTED, known.outcome) if created.is_unsure else known

    def _known(self, task: type[AnyTask], new: NewTask) -> Enqueued | None:
        """What is known about a task whose name is taken; None if it is neither pending nor recorded."""
        recorded = self._recorded(task, new)
        if recorded is not None:
            return recorded
        pending = self._queues.get(new.name, new.queue)
        if pending is not None:
            return _duplicate(new, payload_digest(pending.app_engine_http_request.body), "pending")
        return self._recorded(task, new)  # it may have been delivered between the two questions

    def _recorded(self, task: type[AnyTask], new: NewTask) -> Enqueued | None:
        [record] = self._database.get([TaskRecord.key_of(task.name, new.name)])
        return _duplicate(new, record.payload_digest, record.outcome) if record is not None else None

    @staticmethod
    def _said(new: NewTask, created: Created) -> Enqueued:
        """The answer for a name that only we can have: if it is taken, our own earlier try took it."""
        failure = created.failure
        if failure is None or isinstance(failure, TaskExists):
            return Enqueued(new.name, State.ENQUEUED)
        state = State.UNKNOWN if isinstance(failure, OutcomeUnknown) else State.REFUSED
        return Enqueued(new.name, state, detail=str(failure))


def _duplicate(new: NewTask, earlier_digest: str, outcome: str) -> Enqueued:
    if earlier_digest != payload_digest(new.body):
        raise KeyReused(new.name)
    return Enqueued(new.name, State.DUPLICATE, outcome)
