"""The task that adds amounts to counters."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence

from counters.entities import Counter, CounterShard, shard_id
from counters.increment import Increment, parse_increments, sums_of
from counters.settings import CounterSettings
from pushtasks.delivery import Delivery
from pushtasks.errors import Rejected
from pushtasks.payload import fields_of
from pushtasks.task import Task
from pushtasks.work import Ref, Work

_LOWEST, _HIGHEST = -(2**63), 2**63 - 1
_MOST_NOTED_BYTES = 12_000


class UpdateCounter(Task[Sequence[Increment]]):
    """Adds to this process's shard of each counter, so that processes seldom write the same entity."""

    name = "update-counter"
    queues = tuple(f"counter-updates-{number}" for number in range(4))

    def __init__(self, settings: CounterSettings) -> None:
        super().__init__(settings)
        self._new_counter_shards = settings.shards
        self._shards: dict[str, int] = {}
        """How many each counter has, as it was read: that never changes once it is stored."""

    def parse(self, delivery: Delivery) -> Sequence[Increment]:
        return parse_increments(fields_of(delivery.query, delivery.content_type, delivery.body))

    def reads(self, increments: Sequence[Increment], slot: int) -> Iterable[Ref]:
        for counter in {each.counter for each in increments}:
            shards = self._shards.get(counter)
            if shards is None:
                yield Counter, counter
            yield CounterShard, shard_id(counter, slot % (shards or self._new_counter_shards))

    def apply(self, increments: Sequence[Increment], delivery: Delivery, work: Work) -> None:
        for counter, (count, amount) in sums_of(increments).items():
            shard = work.get(CounterShard, shard_id(counter, work.slot % self._shards_of(counter, work)))
            value = shard.value + amount
            if not _LOWEST <= value <= _HIGHEST:
                raise Rejected("amount", amount, f"one that keeps a shard of {counter!r} within 64 bits")
            shard.value = value
            shard.increments += count
            shard.tasks_applied += 1
            if delivery.attempt > 1:
                shard.tasks_retried += 1
            shard.last_applied_at = work.now

    def note(self, increments: Sequence[Increment]) -> Mapping[str, object]:
        if len(increments) == 1:
            return increments[0].payload
        sums = {counter: amount for counter, (_, amount) in sums_of(increments).items()}
        note: dict[str, object] = {"increments": len(increments), "amount": sum(sums.values())}
        if len(json.dumps(sums)) <= _MOST_NOTED_BYTES:
            note["counters"] = sums
        return note

    def _shards_of(self, counter: str, work: Work) -> int:
        """How many shards the counter has. The first task of a counter registers it."""
        shards = self._shards.get(counter)
        if shards is not None:
            return shards
        stored = work.stored(Counter, counter)
        if stored is not None:
            self._shards[counter] = stored.shards
            return stored.shards  # type: ignore[no-any-return]
        made = work.get(Counter, counter)
        if made.shards is None:
            made.shards, made.created_at = self._new_counter_shards, work.now
        return made.shards  # type: ignore[no-any-return]
