"""Reading counters and tasks, for pages and the API. Every function needs a Datastore context."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from google.cloud import ndb, tasks_v2

from counters.increment import InvalidPayload, parse_counter_name
from counters.update_counter import HANDLER
from pushtasks import names
from pushtasks.database import Database
from pushtasks.delivery import handler_of
from pushtasks.entities import Counter, CounterShard, TaskRecord
from pushtasks.queues import TaskQueues


@dataclass(frozen=True, slots=True)
class ShardValue:
    number: int
    value: int
    tasks_applied: int
    tasks_retried: int
    last_applied_at: datetime | None


@dataclass(frozen=True, slots=True)
class CounterValue:
    """A counter, summed over its shards."""

    name: str
    shards: tuple[ShardValue, ...]

    @property
    def value(self) -> int:
        return sum(shard.value for shard in self.shards)

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


@dataclass(frozen=True, slots=True)
class CounterPage:
    counters: list[CounterValue]
    next_cursor: str | None


@dataclass(frozen=True, slots=True)
class TaskState:
    """Where a task is: its recorded outcome (`applied`, `rejected`, `deleted`), or `pending`."""

    name: str
    state: str
    counter: str | None = None
    amount: int | None = None
    attempts: int = 0
    last_response: str | None = None


def counter(database: Database, name: str) -> CounterValue | None:
    """The counter; None until its first increment has been applied."""
    [entity] = database.get([ndb.Key(Counter, name)])
    if entity is None:
        return None
    value = _values(database, [entity])[0]
    return value if value.tasks_applied else None


def page(database: Database, *, cursor: str | None = None, prefix: str = "", size: int = 20) -> CounterPage:
    """Counters by name, from `cursor` on. Raises InvalidPayload for a cursor that none of ours is."""
    query = Counter.query().order(Counter._key)
    if prefix:
        query = query.filter(
            Counter._key >= ndb.Key(Counter, prefix),
            Counter._key < ndb.Key(Counter, prefix + "\N{REPLACEMENT CHARACTER}"),
        )
    if cursor is not None:
        try:
            query = query.filter(Counter._key > ndb.Key(Counter, parse_counter_name(cursor)))
        except InvalidPayload:
            raise InvalidPayload("cursor", cursor, "the `next` of an earlier page") from None
    entities = database.run_query(query, limit=size + 1)
    more = len(entities) > size
    entities = entities[:size]
    following = entities[-1].key.id() if more else None
    values = [value for value in _values(database, entities) if value.tasks_applied]
    return CounterPage(values, following)


def counter_count(database: Database, most: int) -> int:
    """How many counters are registered, counted up to `most`. Reads keys only."""
    return len(database.run_query(Counter.query(), limit=most, keys_only=True))


def task(database: Database, queues: TaskQueues, name: str, handler: str = HANDLER) -> TaskState | None:
    """The task's recorded outcome, else what its queue says of it; None if neither knows it."""
    found = _recorded(database, name, handler)
    if found is not None:
        return found
    pending = _pending(queues, name, handler)
    if pending is None:
        # It may have been applied between the two questions.
        return _recorded(database, name, handler)
    response = pending.last_attempt.response_status.message if pending.response_count else None
    return TaskState(name, "pending", attempts=pending.dispatch_count, last_response=response)


def _pending(queues: TaskQueues, name: str, handler: str) -> tasks_v2.Task | None:
    """The task where it waits; one of another handler, in any of the queues that are not for increments."""
    if handler == HANDLER:
        return queues.get(name, names.queue_of(name, queues.names))
    for queue in queues.other_names:
        found = queues.get(name, queue)
        if found is not None and handler_of(found.app_engine_http_request.relative_uri) == handler:
            return found
    return None


def _recorded(database: Database, name: str, handler: str) -> TaskState | None:
    [record] = database.get([TaskRecord.key_of(handler, name)])
    if record is None:
        return None
    return TaskState(name, record.outcome, record.counter, record.amount, record.attempts)


def _values(database: Database, counters: list[Counter]) -> list[CounterValue]:
    names = [
        CounterShard.key_of(entity.key.id(), number).id()
        for entity in counters
        for number in range(entity.shards)
    ]
    found = iter(database.plain("CounterShard", names))
    values = []
    for entity in counters:
        shards = tuple(
            ShardValue(
                number,
                shard.get("value") or 0,
                shard.get("tasks_applied") or 0,
                shard.get("tasks_retried") or 0,
                shard.get("last_applied_at"),
            )
            for number in range(entity.shards)
            if (shard := next(found)) is not None
        )
        values.append(CounterValue(entity.key.id(), shards))
    return values
