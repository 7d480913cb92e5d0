"""The work of the update-counter handler: add amounts to counters."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from google.cloud import ndb

from counters.increment import Increment, parse_increment
from pushtasks import payload
from pushtasks.database import Database
from pushtasks.delivery import Clock, TaskInfo, utc_now
from pushtasks.entities import Counter, CounterShard
from pushtasks.slots import Slot

HANDLER = "update-counter"


class Registry:
    """How many shards each counter has; makes a counter known before its first increment is applied.

    What the registry says of a counter never changes, so each process asks once for each name.
    """

    def __init__(self, database: Database, new_counter_shards: int, clock: Clock = utc_now) -> None:
        self._database = database
        self._new_counter_shards = new_counter_shards
        self._clock = clock
        self._lock = threading.Lock()
        self._shards: dict[str, int] = {}

    def shards_of(self, counter: str) -> int:
        """The counter's shards; it has been registered by this process before."""
        return self._shards[counter]

    def register(self, counters: Iterable[str]) -> None:
        """Make sure that these counters are registered. Outside of a transaction; twice does no harm."""
        unknown = [name for name in dict.fromkeys(counters) if name not in self._shards]
        if not unknown:
            return
        found = self._database.get(ndb.Key(Counter, name) for name in unknown)
        for name, entity in zip(unknown, found, strict=True):
            if entity is None:
                entity = self._created(name)
            with self._lock:
                self._shards[name] = entity.shards

    def _created(self, name: str) -> Any:
        """The counter's entity, made by us or by another process that was first."""
        key = ndb.Key(Counter, name)

        def create() -> Any:
            [entity] = self._database.get([key])
            if entity is None:
                entity = Counter(key=key, created_at=self._clock(), shards=self._new_counter_shards)
                entity.put()
            return entity

        return self._database.transaction(create)


class CounterUpdates:
    """Adds each task's amount to this process's shard of its counter."""

    name = HANDLER

    def __init__(self, registry: Registry, slot: Slot) -> None:
        self._registry = registry
        self._slot = slot
        self._local = threading.local()

    def parse(self, task: TaskInfo) -> Increment:
        return parse_increment(payload.fields_of(task.query, task.content_type, task.body))

    def prepare(self, increments: Sequence[Increment]) -> None:
        self._registry.register(increment.counter for increment in increments)

    def reads(self, increments: Sequence[Increment]) -> Iterable[ndb.Key]:
        # Another thread may move the process to another slot before `apply` gets what is read here.
        self._local.slot = self._slot.number
        return [self._shard_key(counter) for counter in dict.fromkeys(each.counter for each in increments)]

    def apply(
        self, increments: Sequence[Increment], tasks: Sequence[TaskInfo], now: datetime
    ) -> Iterable[ndb.Model]:
        shards: dict[str, CounterShard] = {}
        for increment, task in zip(increments, tasks, strict=True):
            shard = shards.get(increment.counter)
            if shard is None:
                key = self._shard_key(increment.counter)
                shard = shards[increment.counter] = key.get() or CounterShard(key=key)
            shard.value += increment.amount
            shard.tasks_applied += 1
            shard.tasks_retried += task.attempt > 1
            shard.last_applied_at = now
        return shards.values()

    def noted(self, increment: Increment) -> dict[str, Any]:
        return {"counter": increment.counter, "amount": increment.amount}

    def _shard_key(self, counter: str) -> ndb.Key:
        return CounterShard.key_of(counter, self._local.slot % self._registry.shards_of(counter))
