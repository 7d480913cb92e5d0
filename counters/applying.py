"""Applying tasks exactly once, although the queue delivers them at least once.

The `TaskRecord` is the arbiter. It is keyed by handler and task name and written in the same transaction as
whatever the task changes: whoever writes it first decides the outcome, and everybody after that finds it and
changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any, Generic, Protocol, TypeVar

from google.cloud import ndb

from counters import statistics
from counters.database import Database
from counters.increments import InvalidPayload
from counters.models import APPLIED, KEPT, REJECTED, RejectedTask, RetryStatistics, TaskRecord
from counters.settings import Settings
from counters.slots import Slot
from counters.tally import Tally
from counters.tasks import Clock, Outcome, TaskInfo, utc_now

P = TypeVar("P")

_CLOCK_SKEW = timedelta(days=1)

_MOST_KEPT_BYTES = 900_000
"""Of a rejected payload: an entity holds 1,048,572 bytes ("Limits", Datastore docs)."""


class Work(Protocol[P]):
    """What a handler's tasks do; the part that differs from handler to handler."""

    name: str
    """The handler's name, in the keys of its records and statistics. Never change it once deployed."""

    def parse(self, task: TaskInfo) -> P:
        """The payload. Raises InvalidPayload if the task can never be applied: it is kept as rejected."""

    def prepare(self, payloads: Sequence[P]) -> None:
        """Before the transaction: what may be written twice without harm, such as a registry."""

    def reads(self, payloads: Sequence[P]) -> Iterable[ndb.Key]:
        """What `apply` will get: it is then read together with the records, in one Lookup."""

    def apply(self, payloads: Sequence[P], tasks: Sequence[TaskInfo], now: datetime) -> Iterable[ndb.Model]:
        """Inside the transaction: the entities to write, changed by these tasks. May run more than once.

        Raises InvalidPayload if what is stored forbids a task for good; then nothing of these may have been
        put. Of several tasks each is tried alone then; a single one is kept as rejected.
        """

    def noted(self, payload: P) -> dict[str, Any]:
        """What the record shall say of the payload: `counter` and `amount`, or nothing."""


@dataclass(frozen=True, slots=True)
class Delivery(Generic[P]):
    """A task with its payload, or with the reason why it has none."""

    task: TaskInfo
    payload: P | None = None
    problem: InvalidPayload | None = None


def payload_digest(payload: bytes) -> str:
    """Tells two payloads apart; 128 bits of SHA-256."""
    return sha256(payload).hexdigest()[:32]


class Applier(Generic[P]):
    """Applies deliveries of one handler's tasks, each or a group of them in one transaction."""

    def __init__(
        self,
        work: Work[P],
        database: Database,
        settings: Settings,
        slot: Slot,
        clock: Clock = utc_now,
    ) -> None:
        self.work = work
        self._database = database
        self._settings = settings
        self._slot = slot
        self._clock = clock

    def receive(self, task: TaskInfo) -> Delivery[P]:
        """The task with its payload parsed."""
        try:
            return Delivery(task, payload=self.work.parse(task))
        except InvalidPayload as problem:
            return Delivery(task, problem=problem)

    def apply(self, deliveries: Sequence[Delivery[P]], *, records_first: bool = False) -> list[Outcome]:
        """Apply all in one transaction, tried once. Raises TaskFailure: then none, as far as one can know.

        Calling it again with the same deliveries settles what a lost answer left open: a record that
        carries a delivery's own id is that delivery's own work, not a duplicate's.

        With `records_first`, records are read before what the work changes, so that a record which
        somebody else has locked doesn't make us hold the lock of a shard while we wait.
        """
        with self._database.context():
            payloads = [each.payload for each in deliveries if each.payload is not None]
            if payloads:
                self.work.prepare(payloads)
            return self._database.transaction(lambda: self._transaction(deliveries, payloads, records_first))

    def _transaction(
        self, deliveries: Sequence[Delivery[P]], payloads: Sequence[P], records_first: bool
    ) -> list[Outcome]:
        now = self._clock()
        names = list(dict.fromkeys(each.task.name for each in deliveries))
        record_keys = [TaskRecord.key_of(self.work.name, name) for name in names]
        statistics_key = RetryStatistics.key_of(self.work.name, self._slot.number)
        also_read = [statistics_key, *self.work.reads(payloads)]
        if records_first:
            found = self._database.get(record_keys)
            self._database.get(also_read)
        else:
            found = self._database.get([*record_keys, *also_read])[: len(names)]
        records: dict[str, TaskRecord] = {
            name: record for name, record in zip(names, found, strict=True) if record is not None
        }
        new = self._first_seen(deliveries, records, now)
        to_put = self._work_on(new, now)

        happened = Tally()
        for name, delivery in new.items():
            records[name] = self._record(delivery, now)
            if delivery.problem is None:
                happened.count_applied(delivery.task.attempt, _latency_ms(delivery.task, now))
            else:
                to_put.append(self._kept(delivery.task, delivery.problem, now))
                happened.rejected += 1
        outcomes: list[Outcome] = []
        for delivery in deliveries:
            record = records[delivery.task.name]
            is_own = record.delivery_id == delivery.task.delivery_id
            outcomes.append(Outcome(record.outcome) if is_own else Outcome.DUPLICATE)
            happened.duplicates += not is_own and not _is_counted(delivery.task, record)

        if happened != Tally():
            entity = statistics_key.get() or RetryStatistics(key=statistics_key)
            statistics.add_to(entity, happened, now)
            to_put.append(entity)
        self._database.put_all([*(records[name] for name in new), *to_put])
        return outcomes

    def _first_seen(
        self, deliveries: Sequence[Delivery[P]], records: Mapping[str, TaskRecord], now: datetime
    ) -> dict[str, Delivery[P]]:
        """By name, those of tasks that have no record: of each the first, with its problem if it has one."""
        new: dict[str, Delivery[P]] = {}
        for delivery in deliveries:
            task = delivery.task
            if task.name not in records and task.name not in new:
                problem = delivery.problem or self._untimely(task, now)
                new[task.name] = replace(delivery, problem=problem) if problem else delivery
        return new

    def _work_on(self, new: dict[str, Delivery[P]], now: datetime) -> list[ndb.Model]:
        """What the work changes. If it rejects a task, that task's delivery in `new` gets the problem."""
        to_apply = [each for each in new.values() if each.problem is None]
        payloads = [each.payload for each in to_apply if each.payload is not None]
        if not to_apply:
            return []
        try:
            return list(self.work.apply(payloads, [each.task for each in to_apply], now))
        except InvalidPayload as problem:
            if len(to_apply) > 1:
                raise  # Whose it is can't be told. Each is tried alone then.
            [rejected] = to_apply
            new[rejected.task.name] = replace(rejected, problem=problem)
            return []

    def _untimely(self, task: TaskInfo, now: datetime) -> InvalidPayload | None:
        """Why a task's age forbids applying it: its record, had it been applied, might be gone."""
        if task.enqueued_at is None:
            return None
        age = now - task.enqueued_at
        days = self._settings.task_life.days
        if age > self._settings.task_life:
            return InvalidPayload(
                "enqueued_at",
                task.enqueued_at.isoformat(),
                f"less than {days} days ago: older ones can't be proven unapplied (too old)",
            )
        if age < -_CLOCK_SKEW:
            return InvalidPayload("enqueued_at", task.enqueued_at.isoformat(), "a time that is not to come")
        return None

    def _record(self, delivery: Delivery[P], now: datetime) -> TaskRecord:
        task = delivery.task
        noted = self.work.noted(delivery.payload) if delivery.payload is not None else {}
        return TaskRecord(
            key=TaskRecord.key_of(self.work.name, task.name),
            outcome=APPLIED if delivery.problem is None else REJECTED,
            payload_digest=payload_digest(task.body),
            attempts=task.attempt,
            enqueued_at=task.enqueued_at,
            delivery_id=task.delivery_id,
            expire_at=now + self._settings.record_life,
            **noted,
        )

    def _kept(self, task: TaskInfo, problem: InvalidPayload, now: datetime) -> RejectedTask:
        return RejectedTask(
            key=ndb.Key(RejectedTask, TaskRecord.key_of(self.work.name, task.name).id()),
            handler=self.work.name,
            outcome=REJECTED,
            state=KEPT,
            reason=problem.rule,
            detail=problem.sentence,
            queue=task.queue,
            path=task.path + (f"?{task.query}" if task.query else ""),
            headers=dict(task.headers),
            payload=task.body[:_MOST_KEPT_BYTES],
            rejected_at=now,
        )


def _is_counted(task: TaskInfo, record: TaskRecord) -> bool:
    """Whether the attempts that the task was applied with include this delivery.

    So it is when an attempt is slow, the queue makes another, and that one commits first.
    """
    return bool(record.outcome == APPLIED and task.attempt < (record.attempts or 0))


def _latency_ms(task: TaskInfo, now: datetime) -> float | None:
    if task.enqueued_at is None:
        return None
    return max(0.0, (now - task.enqueued_at).total_seconds() * 1000)
