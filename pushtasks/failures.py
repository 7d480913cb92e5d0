"""Giving up: a task that keeps failing by its own fault is kept for a person, not tried for ever.

Only for kinds that say `attempts = N`. What counts is a delivery whose task failed when it was tried alone,
by an exception of its own: not through contention, an outage or a shutdown. (X-AppEngine-TaskRetryCount
counts those, too.) A failure that can't be stored does not count.
"""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

from google.cloud import ndb

from pushtasks import statistics
from pushtasks.database import Database
from pushtasks.delivery import Clock, Delivery, Outcome, utc_now
from pushtasks.entities import GAVE_UP, TaskFailures, TaskRecord
from pushtasks.records import kept_of, record_of
from pushtasks.settings import Settings
from pushtasks.slots import Slot
from pushtasks.tally import Tally
from pushtasks.task import AnyTask
from pushtasks.work import UnitOfWork

_MOST_ERROR_CHARACTERS = 500


def described(error: Exception) -> str:
    """An error's type and text, in one short line: what a person needs to recognise it."""
    # A payload may have put half a character into it, which Datastore takes nowhere.
    text = " ".join(str(error).encode("utf-8", "backslashreplace").decode().split())
    line = f"{type(error).__name__}: {text}" if text else type(error).__name__
    return line if len(line) <= _MOST_ERROR_CHARACTERS else line[: _MOST_ERROR_CHARACTERS - 1] + "…"


class OwnFailures:
    """Counts the failures of one kind's tasks. Threads may share it."""

    def __init__(
        self,
        task: AnyTask,
        database: Database,
        settings: Settings,
        slot: Slot,
        clock: Clock = utc_now,
    ) -> None:
        self._task = task
        self._database = database
        self._settings = settings
        self._slot = slot
        self._clock = clock

    def count(self, delivery: Delivery, error: Exception) -> Outcome | None:
        """Count a delivery's failure; the outcome, or None if the task is to be tried again.

        The last failure that the kind allows writes the record and the kept task in the same transaction.
        Counting the same delivery twice counts it once. Raises TaskFailure if it can't be counted.
        """
        with self._database.context():
            return self._database.transaction(lambda: self._count(delivery, error, self._clock()))

    def _count(self, delivery: Delivery, error: Exception, now: datetime) -> Outcome | None:
        name = self._task.name
        record_key, failures_key = (
            TaskRecord.key_of(name, delivery.name),
            TaskFailures.key_of(name, delivery.name),
        )
        record, stored = self._database.get([record_key, failures_key])
        if record is not None:
            return Outcome(record.outcome) if record.delivery_id == delivery.id else Outcome.DUPLICATE
        failures: list[dict[str, Any]] = json.loads(stored.failures) if stored is not None else []
        if all(each["delivery"] != delivery.id for each in failures):
            failures.append({"delivery": delivery.id, "at": now.isoformat(), "error": described(error)})
        if self._task.attempts is None or len(failures) < self._task.attempts:
            TaskFailures(
                key=failures_key,
                failures=json.dumps(failures).encode(),
                expire_at=now + self._settings.record_life,
            ).put()
            return None
        life = self._settings.record_life
        kept = kept_of(
            name,
            delivery,
            GAVE_UP,
            now,
            reason=f"gave up: {type(error).__name__}",
            detail=f"Failed {len(failures)} times. The last error: {described(error)}",
        )
        unit = UnitOfWork(self._database.get, self._slot.number, now)
        statistics.record(unit, name, Tally(gave_up=1))
        ndb.put_multi([record_of(name, delivery, GAVE_UP, now, life), kept, *unit.puts])
        failures_key.delete()
        return Outcome.GAVE_UP
