"""Applying tasks exactly once, although the queue delivers them at least once.

The `TaskRecord` is the arbiter. It is keyed by the task's kind and name, and written in the same transaction
as whatever the task changes: whoever writes it first decides the outcome, and everybody after that finds it
and changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any, Generic, NamedTuple, TypeVar

from google.cloud import ndb

from pushtasks import follow_ups, statistics
from pushtasks.database import Database
from pushtasks.delivery import Clock, Delivery, Outcome, utc_now
from pushtasks.entities import APPLIED, REJECTED, TaskRecord, TaskStatistics
from pushtasks.errors import CommitTooLarge, Rejected, TaskRaised
from pushtasks.failed_attempts import FailedAttempts
from pushtasks.records import kept_of, record_of
from pushtasks.settings import Settings
from pushtasks.slots import Slot
from pushtasks.tally import Tally
from pushtasks.task import Kinds, Task
from pushtasks.work import Lookup, Ref, UnitOfWork, Work

P = TypeVar("P")

_CLOCK_SKEW = timedelta(days=1)
_MOST_KEYS_REMEMBERED = 1024


class Result(NamedTuple):
    """The outcome of a delivery, and how many follow-ups its task's record says to create."""

    outcome: Outcome
    follow_ups: int = 0


@dataclass(slots=True)
class Received(Generic[P]):
    """A delivery with its payload, or with the reason why it has none."""

    delivery: Delivery
    payload: P | None = None
    problem: Rejected | None = None
    reads: tuple[Ref, ...] = ()
    """What its task declares to read, with the slot that the keys are for."""
    slot: int = -1
    is_used: bool = False
    """Whether a try has had the payload: the next one gets a fresh one."""


class Applier(Generic[P]):
    """Applies deliveries of one kind of task, each or a group of them in one transaction."""

    def __init__(
        self,
        task: Task[P],
        database: Database,
        settings: Settings,
        slot: Slot,
        kinds: Kinds | None = None,
        clock: Clock = utc_now,
        failed: FailedAttempts | None = None,
    ) -> None:
        """`failed` are attempts that failed before, and are still to be written with a commit."""
        self.task = task
        self._failed = failed
        self._database = database
        self._settings = settings
        self._slot = slot
        self._kinds = kinds
        self._clock = clock
        self._may_query = task.most_grouped == 1
        # The same entities again and again; ndb takes longer for a key than Datastore's answer for an entity.
        self._key = lru_cache(maxsize=_MOST_KEYS_REMEMBERED)(ndb.Key)

    def receive(self, delivery: Delivery) -> Received[P]:
        """The delivery with its payload parsed."""
        received: Received[P] = Received(delivery)
        self._parse(received)
        return received

    def apply(self, received: Sequence[Received[P]], *, records_first: bool = False) -> list[Result]:
        """Apply all in one transaction, tried once. Raises TaskFailure if none was applied, as far as known.

        Raises TaskRaised if one task of several raises anything; a single task's own failure is raised as it
        is. Calling it again with the same deliveries settles what a lost answer left open: a record that
        carries a delivery's own id is that delivery's own work, not a duplicate's.

        With `records_first`, records are read before what the tasks change, so that a record which somebody
        else has locked doesn't make us hold the lock of a shard while we wait.
        """
        failures = self._failed.take(self.task.name) if self._failed is not None else {}
        try:
            return self._apply_at_once(received, records_first, failures)
        except BaseException:
            if self._failed is not None:
                self._failed.give_back(self.task.name, failures)
            raise

    def _apply_at_once(
        self, received: Sequence[Received[P]], records_first: bool, failures: Mapping[int, int]
    ) -> list[Result]:
        slot = self._slot.number  # another thread may draw another one in the meantime
        with self._database.context():
            try:
                return self._database.unit_of_work(
                    lambda lookup: self._body(lookup, received, slot, records_first, failures),
                    queries=self._may_query,
                )
            except CommitTooLarge as too_large:
                if len(received) > 1:
                    raise
                [alone] = received
                alone.payload, alone.problem = None, Rejected("task", str(too_large), "a smaller one")
                return self._database.unit_of_work(
                    lambda lookup: self._body(lookup, received, slot, records_first, failures),
                    queries=self._may_query,
                )

    def declared_keys(self, received: Received[P]) -> int:
        """How many keys a delivery brings to its group's Lookup: its record's, and what its task declares."""
        self._declare(received, self._slot.number)
        return 1 + len(received.reads)

    def _body(
        self,
        lookup: Lookup,
        received: Sequence[Received[P]],
        slot: int,
        records_first: bool,
        failures: Mapping[int, int],
    ) -> tuple[UnitOfWork, list[Result]]:
        now = self._clock()
        unit = UnitOfWork(lookup, slot, now, self._key)
        names = list(dict.fromkeys(each.delivery.name for each in received))
        record_keys = {name: TaskRecord.key_of(self.task.name, name) for name in names}
        statistics_key = TaskStatistics.key_of(self.task.name, slot)
        if records_first:
            unit.fetch(record_keys.values())
        for each in received:
            self._declare(each, slot)
        unit.fetch([*record_keys.values(), statistics_key, *_keys_of(received, self._key)])
        records: dict[str, TaskRecord | None] = {name: unit.read(record_keys[name]) for name in names}

        happened = Tally()
        for index, each in enumerate(received):
            if records[each.delivery.name] is None:
                unit, record = self._decide(unit, index, each, alone=len(received) == 1)
                unit.put(record)
                records[each.delivery.name] = record
                if record.outcome == APPLIED:
                    happened.count_applied(each.delivery.attempt, _latency_ms(each.delivery, now))
                else:
                    happened.rejected += 1

        results = []
        for each in received:
            decided = records[each.delivery.name]
            assert decided is not None
            is_own = decided.delivery_id == each.delivery.id
            outcome = Outcome(decided.outcome) if is_own else Outcome.DUPLICATE
            happened.duplicates += not is_own and not _is_counted(each.delivery, decided)
            to_follow = decided.follow_ups if decided.outcome == APPLIED else None
            results.append(Result(outcome, to_follow or 0))
        if failures or happened != Tally():
            statistics.record(unit, self.task.name, happened, failures)
        unit.finish()
        return unit, results

    def _decide(
        self, unit: UnitOfWork, index: int, received: Received[P], *, alone: bool
    ) -> tuple[UnitOfWork, TaskRecord]:
        """The record of a task that has none yet, and the unit of work that holds what it changes."""
        delivery, life = received.delivery, self._settings.record_life
        problem = received.problem or self._untimely(delivery, unit.now)
        if problem is None:
            work = Work(unit, self._kinds)
            try:
                note = self._run(received, work)
            except Exception as error:
                if not alone and error is not unit.failure:
                    raise TaskRaised(index, error) from error
                if not isinstance(error, Rejected):
                    raise
                # Nothing that it changed is written; what was read stays valid.
                problem, unit = error, unit.fresh()
            else:
                record = record_of(
                    self.task.name,
                    delivery,
                    APPLIED,
                    unit.now,
                    life,
                    note=note,
                    follow_ups=len(work.follow_ups),
                )
                if work.follow_ups:
                    unit.put(
                        follow_ups.entity_of(self.task.name, delivery.name, work.follow_ups, unit.now, life)
                    )
                return unit, record
        unit.put(
            kept_of(
                self.task.name, delivery, REJECTED, unit.now, reason=problem.rule, detail=problem.sentence
            )
        )
        return unit, record_of(self.task.name, delivery, REJECTED, unit.now, life)

    def _run(self, received: Received[P], work: Work) -> dict[str, object] | None:
        """Let the task do its work, with a payload that no earlier try touched; gives its record's note."""
        if received.is_used:
            self._parse(received)
            if received.problem is not None:
                raise received.problem
        received.is_used = True
        payload: P = received.payload  # type: ignore[assignment]  # there is no problem, so there is one
        with self._database.task_applies(may_query=self._may_query):
            self.task.apply(payload, received.delivery, work)
        note = self.task.note(payload)
        return dict(note) if note is not None else None

    def _parse(self, received: Received[P]) -> None:
        try:
            received.payload = self.task.parse(received.delivery)
        except Rejected as problem:
            received.problem = problem

    def _declare(self, received: Received[P], slot: int) -> None:
        """Work out what the task declares to read, unless it is known for this slot."""
        if received.slot != slot and received.problem is None:
            received.reads = tuple(self.task.reads(received.payload, slot))  # type: ignore[arg-type]
            received.slot = slot

    def _untimely(self, delivery: Delivery, now: datetime) -> Rejected | None:
        """Why the task is too old to apply: if it was applied before, its record might be gone by now."""
        since = delivery.waiting_since
        if since is None:
            return None
        age = now - since
        if age > self._settings.task_life:
            days = self._settings.task_life.days
            return Rejected(
                "enqueued_at",
                since.isoformat(),
                f"less than {days} days ago: older ones can't be proven unapplied (too old)",
            )
        if delivery.enqueued_at and now - delivery.enqueued_at < -_CLOCK_SKEW:
            return Rejected("enqueued_at", delivery.enqueued_at.isoformat(), "a time in the past")
        return None


def _keys_of(received: Sequence[Received[Any]], key: Callable[..., ndb.Key]) -> Iterable[ndb.Key]:
    """What the tasks declare to read, each once."""
    return (key(*ref) for ref in dict.fromkeys(ref for each in received for ref in each.reads))


def _is_counted(delivery: Delivery, record: TaskRecord) -> bool:
    """Whether the attempts that the task was applied with include this delivery.

    They do if an attempt is slow, the queue makes another, and that one commits first.
    """
    return bool(record.outcome == APPLIED and delivery.attempt < (record.attempts or 0))


def _latency_ms(delivery: Delivery, now: datetime) -> float | None:
    since = delivery.waiting_since
    return max(0.0, (now - since).total_seconds() * 1000) if since is not None else None
