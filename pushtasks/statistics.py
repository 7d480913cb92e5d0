"""Retry statistics: written with the tasks they count, in the same transaction; summed by readers.

Definitions, all over tasks that were applied:
- attempts of a task: its retry count + 1. Failures therefore show when their task succeeds; what is failing
  now, only the queue knows.
- first-attempt success: tasks applied by their first attempt / tasks applied.
- duplicates: deliveries of a task whose outcome was already recorded, but for earlier attempts that ended
  later: the task's attempts include those.
- retry amplification: (attempts of applied tasks + duplicates) / tasks applied.
- latency: commit minus the time that the creator enqueued it.
Apart from these, failures: failed attempts counted when they failed (`pushtasks.failed_attempts`).

An ordinary commit writes the totals and the periods that are under way. When a minute ends, its row goes into
the ring in the same entity; when an hour or a day ends, into the rings in `TaskHistory`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from google.cloud import ndb

from pushtasks.database import Database
from pushtasks.entities import TaskHistory, TaskStatistics
from pushtasks.ring import (
    DAYS,
    HOURS,
    MINUTES,
    SPANS,
    Ended,
    Ring,
    Running,
    Scale,
    Span,
    add_rows,
    numbers_as_json,
    series,
    whole,
)
from pushtasks.tally import SUMS, Tally, merge_rows, pack_numbers, sum_of, unpack_numbers
from pushtasks.work import UnitOfWork

_MOST_SLOT_ENTITIES = 1000
"""More than all handlers' slots together; any beyond it would not be shown."""


@dataclass(frozen=True)
class Statistics:
    """What happened to one handler's tasks."""

    handler: str
    total: Tally
    last_hour: Tally
    minutes: list[tuple[int, Tally]]
    """The last 60 minutes, oldest first: minutes since 1970, and what happened in each."""
    since: datetime | None


@dataclass(frozen=True, slots=True)
class Moment:
    """What happened in one period of a history; the last period is still under way."""

    starts_at: datetime
    tally: Tally


@dataclass(frozen=True, slots=True)
class History:
    """What happened to one handler's tasks over a span, oldest first; `handler` is empty for all of them."""

    handler: str
    span: Span
    moments: list[Moment]


def record(unit: UnitOfWork, task: str, happened: Tally, failures: Mapping[int, int] | None = None) -> None:
    """Count what happened to a kind's tasks now, and failures by the minute (since 1970) of each."""
    entity = unit.get(TaskStatistics.key_of(task, unit.slot), TaskStatistics)
    running = Running(json.loads(entity.running) if entity.running else None)
    ended = []
    for minute, count in sorted((failures or {}).items()):
        failed = Tally(failures=count)
        happened_then = min(MINUTES.starts_at(minute), unit.now)
        ended += running.add(happened_then, failed.row(), merge_rows)
        _add_to_total(entity, failed)
    if happened != Tally():
        ended += running.add(unit.now, happened.row(), merge_rows)
        _add_to_total(entity, happened)
    entity.running = numbers_as_json(running.numbers)
    entity.since = entity.since or unit.now
    if ended:
        _fold(unit, task, entity, ended)


def _add_to_total(entity: TaskStatistics, happened: Tally) -> None:
    # Only what changes is set: ndb takes its time for each property.
    for name in SUMS:
        count = getattr(happened, name)
        if count:
            setattr(entity, name, (getattr(entity, name) or 0) + count)
    if happened.applied:
        entity.most_attempts = max(entity.most_attempts, happened.most_attempts)
        counts = [*happened.by_attempts, *happened.by_latency]
        entity.histograms = pack_numbers(add_rows(unpack_numbers(entity.histograms), counts))


def _fold(unit: UnitOfWork, task: str, entity: TaskStatistics, ended: Iterable[Ended]) -> None:
    """Put rows into their rings."""
    by_scale: dict[Scale, list[Ended]] = {}
    for each in ended:
        by_scale.setdefault(each.scale, []).append(each)
    for scale, rows in by_scale.items():
        holder: ndb.Model = entity
        if scale is not MINUTES:
            holder = unit.get(TaskHistory.key_of(task, unit.slot), TaskHistory)
        ring = Ring.unpack(scale, getattr(holder, _PROPERTIES[scale]))
        for _, period, row in rows:
            ring.add(period, row, merge_rows)
        setattr(holder, _PROPERTIES[scale], ring.pack())


_PROPERTIES = {MINUTES: "minutes", HOURS: "hours", DAYS: "days"}


def total_of(entity: TaskStatistics) -> Tally:
    numbers = unpack_numbers(entity.histograms)
    sums: dict[str, Any] = {name: getattr(entity, name) or 0 for name in SUMS}
    total = Tally(most_attempts=entity.most_attempts, **sums)
    if numbers:
        split = len(total.by_attempts)
        total.by_attempts, total.by_latency = numbers[:split], numbers[split:]
    return total


def ring_of(scale: Scale, entity: TaskStatistics, history: TaskHistory | None = None) -> Ring:
    """A slot's ring with the period that is under way. Those of hours and days are in its `TaskHistory`."""
    holder = entity if scale is MINUTES else history
    packed = getattr(holder, _PROPERTIES[scale]) if holder is not None else None
    running = Running(json.loads(entity.running) if entity.running else None)
    return whole(Ring.unpack(scale, packed), running, merge_rows)


def task_of(entity: TaskStatistics) -> str:
    """The kind of task that an entity counts."""
    return str(entity.key.id()).rpartition(":")[0]


def read(database: Database, now: datetime) -> list[Statistics]:
    """The statistics of every handler that has some, by name. Needs a context."""
    return [summed(handler, entities, now) for handler, entities in _by_handler(database).items()]


def summed(handler: str, entities: Iterable[TaskStatistics], now: datetime) -> Statistics:
    entities = list(entities)
    rows = series((ring_of(MINUTES, entity) for entity in entities), SPANS["hour"], now, merge_rows)
    minutes = [(minute, Tally.of_row(row)) for minute, row in rows]
    started = [entity.since for entity in entities if entity.since]
    return Statistics(
        handler=handler,
        total=sum_of(total_of(entity) for entity in entities),
        last_hour=sum_of(tally for _, tally in minutes),
        minutes=minutes,
        since=min(started) if started else None,
    )


def read_history(database: Database, span: Span, now: datetime) -> list[History]:
    """Every handler's history over a span, by name. Reads two entities a slot; needs a context."""
    histories = []
    for handler, entities in _by_handler(database).items():
        stored: list[TaskHistory | None] = [None] * len(entities)
        if span.scale is not MINUTES:
            stored = database.get(ndb.Key(TaskHistory, entity.key.id()) for entity in entities)
        rings = [ring_of(span.scale, *both) for both in zip(entities, stored, strict=True)]
        rows = series(rings, span, now, merge_rows)
        moments = [Moment(span.scale.starts_at(period), Tally.of_row(row)) for period, row in rows]
        histories.append(History(handler, span, moments))
    return histories


def over_all(histories: Iterable[History], span: Span) -> History:
    """The sum of all handlers' histories, which are of the same span and time."""
    columns = zip(*(each.moments for each in histories), strict=True)
    moments = [Moment(same[0].starts_at, sum_of(each.tally for each in same)) for same in columns]
    return History("", span, moments)


def _by_handler(database: Database) -> dict[str, list[TaskStatistics]]:
    found: dict[str, list[TaskStatistics]] = {}
    for entity in database.run_query(TaskStatistics.query(), limit=_MOST_SLOT_ENTITIES):
        found.setdefault(task_of(entity), []).append(entity)
    return dict(sorted(found.items()))
