"""Follow-ups: tasks that exist if, and only if, the task that asked for them was applied.

They are stored beside their parent's record, in its transaction. Every delivery that finds or writes an
applied record creates them from what is stored, before it is answered 2xx. So a crash anywhere leaves either
no parent and no follow-up, or a parent whose next delivery creates them. A name that follows from the
parent's, and the follow-up's own record, make a second creation harmless: there is no need to note which were
created.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from pushtasks import names
from pushtasks.database import Database
from pushtasks.delivery import Clock, Delivery, utc_now
from pushtasks.entities import REFUSED, FollowUps, TaskRecord
from pushtasks.errors import QueueRefused, TaskExists
from pushtasks.payload import canonical_json
from pushtasks.queues import NewTask, TaskQueues
from pushtasks.records import kept_of, record_of
from pushtasks.settings import Settings
from pushtasks.task import Kinds
from pushtasks.work import FollowUp

_PATIENCE = timedelta(days=1)
"""For how long a refused creation is tried again before it is recorded as refused: queues get repaired."""


def entity_of(task: str, name: str, wanted: Sequence[FollowUp], now: datetime, life: timedelta) -> FollowUps:
    """What is stored with the parent's record; `now` is the time of its commit."""
    tasks = [
        {
            "task": each.task,
            "payload": each.payload,
            "due_at": each.due_at.timestamp() if each.due_at is not None else None,
        }
        for each in wanted
    ]
    return FollowUps(
        key=FollowUps.key_of(task, name),
        tasks=json.dumps(tasks, separators=(",", ":")).encode(),
        enqueued_at=now,
        expire_at=now + life,
    )


def name_of(task: str, parent: str, position: int) -> str:
    """The name of a parent's follow-up; nobody else's."""
    return names.hashed_name("follow-up", task, parent, position)


class FollowUpCreator:
    """Creates what applied tasks asked for. One per process; threads may share it."""

    def __init__(
        self,
        database: Database,
        queues: TaskQueues,
        kinds: Kinds,
        settings: Settings,
        clock: Clock = utc_now,
    ) -> None:
        self._database = database
        self._queues = queues
        self._kinds = kinds
        self._settings = settings
        self._clock = clock

    def create(self, task: str, parent: str) -> None:
        """Make sure that all follow-ups of an applied task are created. A second call does no harm.

        Raises OutcomeUnknown or QueueRefused if one is not: then the parent must be delivered again. Raises
        TaskFailure if what is stored can't be read.
        """
        with self._database.context():
            [stored] = self._database.get([FollowUps.key_of(task, parent)])
            if stored is None or self._clock() - stored.enqueued_at > self._settings.task_life:
                return  # their own records might be gone: a second creation would no longer be harmless
            refusals = []
            for position, wanted in enumerate(json.loads(stored.tasks)):
                try:
                    self._create_one(task, parent, position, wanted, stored.enqueued_at)
                except QueueRefused as refused:  # by its own queue: those of others need not wait for it
                    refusals.append(refused)
            if refusals:
                raise refusals[0]

    def _create_one(
        self, task: str, parent: str, position: int, wanted: dict[str, Any], enqueued_at: datetime
    ) -> None:
        name = name_of(task, parent, position)
        kind = self._kinds.get(wanted["task"])
        try:
            if kind is None:
                raise QueueRefused(f"There is no kind of task {wanted['task']!r} any more.")
            due_at_s = wanted["due_at"]
            self._queues.create(
                NewTask(
                    name=name,
                    queue=names.queue_of(name, kind.queues),
                    body=canonical_json(wanted["payload"]),
                    path=kind.path,
                    service=kind.service,
                    enqueued_at=enqueued_at,
                    due_at=datetime.fromtimestamp(due_at_s, UTC) if due_at_s is not None else None,
                    parent=f"{task}/{parent}",
                )
            )
        except TaskExists:
            return
        except QueueRefused as refused:
            if self._clock() - enqueued_at < _PATIENCE:
                raise
            self._record_refused(name, wanted, enqueued_at, refused)

    def _record_refused(
        self, name: str, wanted: dict[str, Any], enqueued_at: datetime, refused: QueueRefused
    ) -> None:
        """Keep a follow-up that Cloud Tasks refuses for a person, so that the parent is finished."""
        task = wanted["task"]
        delivery = Delivery(
            name=name,
            queue="",
            enqueued_at=enqueued_at,
            path=f"/{task}",
            content_type="application/json",
            body=canonical_json(wanted["payload"]),
            headers={"content-type": "application/json"},
            id=f"refused-{secrets.token_hex(8)}",
        )

        def record() -> None:
            [found] = self._database.get([TaskRecord.key_of(task, name)])
            if found is None:
                now = self._clock()
                record_of(task, delivery, REFUSED, now, self._settings.record_life).put()
                kept_of(
                    task, delivery, REFUSED, now, reason="refused by its queue", detail=str(refused)
                ).put()

        self._database.transaction(record)
