"""The proof that every accepted increment was counted once.

Reads Datastore with another client library than the application's (google-cloud-datastore, not ndb), by key
and kind names alone, so that it shares nothing with the code that wrote. Adds up, for given counters:
- the shards: what the counters say;
- the applied records: what was applied, task by task.
Both must equal what the default service accepted.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from google.cloud import datastore

from bench.datastore_clients import clients_of

_MOST_KEYS = 1000


@dataclass(frozen=True)
class Sums:
    """Tasks and amounts, added up over some counters."""

    tasks: int = 0
    amount: int = 0

    def __str__(self) -> str:
        return f"{self.tasks:,} increments, sum {self.amount:,}"


class Proof:
    """Reads one Datastore."""

    def __init__(self, address: str, project: str = "local-project") -> None:
        client_class: Any = datastore.Client  # it carries no types
        with clients_of(address):
            self._client = client_class(project=project)

    def shards(self, counters: Sequence[str], most_shards: int = 128) -> Sums:
        """What the shards of `counters` say."""
        keys = [
            self._client.key("CounterShard", f"{counter}:{number}")
            for counter in counters
            for number in range(most_shards)
        ]
        found = list(self._get(keys))
        return Sums(sum(shard["tasks_applied"] for shard in found), sum(shard["value"] for shard in found))

    def records(self, tasks: Iterable[str]) -> Sums:
        """What the records of these tasks say was applied."""
        keys = [self._client.key("TaskRecord", f"{task}@update-counter") for task in set(tasks)]
        applied = [record for record in self._get(keys) if record["outcome"] == "applied"]
        return Sums(len(applied), sum(record["amount"] for record in applied))

    def all_records(self, counters: Sequence[str]) -> Sums:
        """What all applied records of `counters` add up to: reads every record there is."""
        wanted = set(counters)
        applied = [
            record
            for record in self._client.query(kind="TaskRecord").fetch()
            if record["outcome"] == "applied" and record["counter"] in wanted
        ]
        return Sums(len(applied), sum(record["amount"] for record in applied))

    def duplicates(self) -> int:
        """Deliveries of tasks already recorded, over all handlers, since the data began."""
        slots = self._client.query(kind="TaskStatistics").fetch()
        return sum(slot["duplicates"] or 0 for slot in slots)

    def _get(self, keys: Sequence[Any]) -> Iterable[Any]:
        for start in range(0, len(keys), _MOST_KEYS):
            yield from self._client.get_multi(keys[start : start + _MOST_KEYS])
