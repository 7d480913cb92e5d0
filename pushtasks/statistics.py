"""Retry statistics: written with the tasks they count, in the same transaction; summed by readers.

Definitions, all over tasks that were applied:
- attempts of a task: its retry count + 1. Failures therefore show when their task succeeds; what is failing
  now is to be asked of the queue.
- first-attempt success: tasks applied by their first attempt / tasks applied.
- duplicates: deliveries of a task whose outcome was already recorded, but for earlier attempts that ended
  later: the task's attempts include those.
- retry amplification: (attempts of applied tasks + duplicates) / tasks applied.
- latency: commit minus the time that the creator enqueued it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from pushtasks.database import Database
from pushtasks.entities import TaskStatistics
from pushtasks.tally import (
    RING_MINUTES,
    SUMS,
    Tally,
    pack_minutes,
    pack_numbers,
    sum_of,
    unpack_minutes,
    unpack_numbers,
)

_MOST_SLOT_ENTITIES = 1000
"""More than all handlers' slots come to; what is beyond would not be shown."""


@dataclass(frozen=True)
class Statistics:
    """What happened to one handler's tasks."""

    handler: str
    total: Tally
    last_hour: Tally
    minutes: list[tuple[int, Tally]]
    """The last 60 minutes, oldest first: minutes since 1970, and what happened in each."""
    since: datetime | None


def minute_of(moment: datetime) -> int:
    """The minute since 1970 that `moment` lies in."""
    return int(moment.timestamp() // 60)


def add_to(entity: TaskStatistics, happened: Tally, now: datetime) -> None:
    """Add what just happened to a slot's entity: to its total, and to this minute's place in the ring."""
    total = total_of(entity)
    total.add(happened)
    for name in (*SUMS, "most_attempts"):
        setattr(entity, name, getattr(total, name))
    entity.histograms = pack_numbers([*total.by_attempts, *total.by_latency])
    if entity.since is None:
        entity.since = now
    this_minute = minute_of(now)
    rows = {
        minute: row
        for minute, row in unpack_minutes(entity.minutes).items()
        if minute > this_minute - RING_MINUTES
    }
    rows.setdefault(this_minute, Tally()).add(happened)
    entity.minutes = pack_minutes(rows)


def total_of(entity: TaskStatistics) -> Tally:
    numbers = unpack_numbers(entity.histograms)
    total = Tally(most_attempts=entity.most_attempts, **{name: getattr(entity, name) for name in SUMS})
    if numbers:
        split = len(total.by_attempts)
        total.by_attempts, total.by_latency = numbers[:split], numbers[split:]
    return total


def task_of(entity: TaskStatistics) -> str:
    """The kind of task that an entity counts."""
    return str(entity.key.id()).rpartition(":")[0]


def read(database: Database, now: datetime) -> list[Statistics]:
    """The statistics of every handler that has any, by name. Needs a context."""
    by_handler: dict[str, list[TaskStatistics]] = {}
    for entity in database.run_query(TaskStatistics.query(), limit=_MOST_SLOT_ENTITIES):
        by_handler.setdefault(task_of(entity), []).append(entity)
    return [summed(handler, entities, now) for handler, entities in sorted(by_handler.items())]


def summed(handler: str, entities: Iterable[TaskStatistics], now: datetime) -> Statistics:
    entities = list(entities)
    last = minute_of(now)
    minutes = {minute: Tally() for minute in range(last - RING_MINUTES + 1, last + 1)}
    for entity in entities:
        for minute, row in unpack_minutes(entity.minutes).items():
            if minute in minutes:
                minutes[minute].add(row)
    started = [entity.since for entity in entities if entity.since]
    return Statistics(
        handler=handler,
        total=sum_of(total_of(entity) for entity in entities),
        last_hour=sum_of(minutes.values()),
        minutes=sorted(minutes.items()),
        since=min(started) if started else None,
    )
