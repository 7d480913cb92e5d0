"""Reading counters, for pages and the API. Every function needs a Datastore context."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime

from google.cloud import ndb

from counters import history
from counters.entities import Counter, shard_id
from counters.history import Series
from counters.increment import parse_counter_name
from pushtasks.database import Database
from pushtasks.errors import Rejected
from pushtasks.ring import Span


@dataclass(frozen=True, slots=True)
class ShardValue:
    number: int
    value: int
    increments: int
    tasks_applied: int
    tasks_retried: int
    last_applied_at: datetime | None
    history: bytes | None = field(default=None, repr=False)
    """See `counters.history`."""


@dataclass(frozen=True, slots=True)
class CounterValue:
    """A counter, summed over its shards."""

    name: str
    shards: tuple[ShardValue, ...]

    @property
    def value(self) -> int:
        return sum(shard.value for shard in self.shards)

    @property
    def increments(self) -> int:
        return sum(shard.increments for shard in self.shards)

    @property
    def tasks_applied(self) -> int:
        return sum(shard.tasks_applied for shard in self.shards)

    @property
    def tasks_retried(self) -> int:
        """Tasks that needed more than one attempt."""
        return sum(shard.tasks_retried for shard in self.shards)

    @property
    def last_applied_at(self) -> datetime | None:
        return max((shard.last_applied_at for shard in self.shards if shard.last_applied_at), default=None)

    def history(self, spans: Iterable[Span], now: datetime) -> dict[str, Series]:
        """What was added over each of the spans, by its name; as exact as the value."""
        return history.of_counter((shard.history for shard in self.shards), self.value, spans, now)


@dataclass(frozen=True, slots=True)
class CounterPage:
    counters: list[CounterValue]
    next_cursor: str | None


def counter(database: Database, name: str) -> CounterValue | None:
    """The counter; None until its first increment has been applied."""
    [entity] = database.get([ndb.Key(Counter, name)])
    if entity is None:
        return None
    value = _values(database, [entity])[0]
    return value if value.tasks_applied else None


def page(database: Database, *, cursor: str | None = None, prefix: str = "", size: int = 20) -> CounterPage:
    """Counters by name, from `cursor` on. Raises Rejected for an unknown cursor."""
    query = Counter.query().order(Counter._key)
    if prefix:
        query = query.filter(
            Counter._key >= ndb.Key(Counter, prefix),
            Counter._key < ndb.Key(Counter, prefix + "\N{REPLACEMENT CHARACTER}"),
        )
    if cursor is not None:
        try:
            query = query.filter(Counter._key > ndb.Key(Counter, parse_counter_name(cursor)))
        except Rejected:
            raise Rejected("cursor", cursor, "the `next` of an earlier page") from None
    entities = database.run_query(query, limit=size + 1)
    more = len(entities) > size
    entities = entities[:size]
    following = entities[-1].key.id() if more else None
    values = [value for value in _values(database, entities) if value.tasks_applied]
    return CounterPage(values, following)


def counter_count(database: Database, most: int) -> int:
    """How many counters are registered, counted up to `most`. Reads keys only."""
    return len(database.run_query(Counter.query(), limit=most, keys_only=True))


def _values(database: Database, counters: list[Counter]) -> list[CounterValue]:
    names = [shard_id(entity.key.id(), number) for entity in counters for number in range(entity.shards)]
    found = iter(database.plain("CounterShard", names))
    values = []
    for entity in counters:
        shards = tuple(
            ShardValue(
                number,
                shard.get("value") or 0,
                shard.get("increments") or 0,
                shard.get("tasks_applied") or 0,
                shard.get("tasks_retried") or 0,
                shard.get("last_applied_at"),
                shard.get("history"),
            )
            for number in range(entity.shards)
            if (shard := next(found)) is not None
        )
        values.append(CounterValue(entity.key.id(), shards))
    return values
