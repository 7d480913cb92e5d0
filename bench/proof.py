"""The proof that every accepted increment was counted once.

Reads Datastore with another client library than the application's (google-cloud-datastore, not ndb), by key
and kind names alone, so that it shares nothing with the code that wrote. Adds up, for given counters:
- the shards: what the counters say;
- the rings of their histories, each with what was before it;
- the applied records: what was applied, task by task.
All must equal what the default service accepted.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from google.cloud import datastore
from localcloud.testing.client_environment import clients_of

_MOST_KEYS = 1000


@dataclass(frozen=True)
class Sums:
    """Increments and their amounts, added up over some counters."""

    increments: int = 0
    amount: int = 0

    def __str__(self) -> str:
        return f"{self.increments:,} increments, sum {self.amount:,}"


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
        return Sums(sum(shard["increments"] for shard in found), sum(shard["value"] for shard in found))

    def histories(self, counters: Sequence[str], most_shards: int = 128) -> list[Sums]:
        """What the rings of minutes, of hours and of days say, each with what was before it."""
        keys = [
            self._client.key("CounterShard", f"{counter}:{number}")
            for counter in counters
            for number in range(most_shards)
        ]
        sums = [Sums()] * 3
        for shard in self._get(keys):
            for scale, (increments, amount) in enumerate(_totals_of(shard["history"])):
                sums[scale] = Sums(sums[scale].increments + increments, sums[scale].amount + amount)
        return sums

    def at_one_moment(self, counters: Sequence[str], most_shards: int = 8) -> dict[str, int]:
        """The increments of each counter, read in one transaction."""
        keys = {
            counter: [
                self._client.key("CounterShard", f"{counter}:{number}") for number in range(most_shards)
            ]
            for counter in counters
        }
        with self._client.transaction(read_only=True):
            shards = self._client.get_multi([key for each in keys.values() for key in each])
        found = {shard.key: shard["increments"] for shard in shards}
        return {counter: sum(found.get(key, 0) for key in each) for counter, each in keys.items()}

    def records(self, tasks: Iterable[str]) -> Sums:
        """What the records of these tasks say was applied."""
        keys = [self._client.key("TaskRecord", f"{task}@update-counter") for task in set(tasks)]
        return _sums_of(record for record in self._get(keys) if record["outcome"] == "applied")

    def all_records(self, counters: Sequence[str]) -> Sums:
        """What all applied records of `counters` add up to: reads every record there is."""
        wanted = set(counters)
        return _sums_of(
            record
            for record in self._client.query(kind="TaskRecord").fetch()
            if record["outcome"] == "applied" and _counters_of(record) & wanted
        )

    def duplicates(self) -> int:
        """Deliveries of tasks already recorded, over all handlers, since the data began."""
        slots = self._client.query(kind="TaskStatistics").fetch()
        return sum(slot["duplicates"] or 0 for slot in slots)

    def _get(self, keys: Sequence[Any]) -> Iterable[Any]:
        for start in range(0, len(keys), _MOST_KEYS):
            yield from self._client.get_multi(keys[start : start + _MOST_KEYS])


def _totals_of(history: bytes) -> Iterable[tuple[int, int]]:
    """Increments and amount of each of a shard's three rings; for the layout see `counters.history`."""
    first, second, packed = history.split(b"\n", 2)
    running = json.loads(first)[2:]
    for scale, length in enumerate(json.loads(second)):
        _, amount, increments = running[scale * 3 : scale * 3 + 3]
        if length:
            before, _, *columns = json.loads(zlib.decompress(packed[:length]))
            for total in (before or [0, 0], *zip(*columns, strict=True)):
                amount, increments = amount + total[0], increments + total[1]
        packed = packed[length:]
        yield increments, amount


def _sums_of(records: Iterable[Any]) -> Sums:
    """What records note: one increment each, or a batch's number of increments and what they add up to."""
    notes = [json.loads(record["note"]) for record in records]
    return Sums(sum(note.get("increments", 1) for note in notes), sum(note["amount"] for note in notes))


def _counters_of(record: Any) -> set[str]:
    """The counters that a record notes; empty if it is not about counters."""
    note = json.loads(record["note"] or "{}")
    return set(note.get("counters", ())) | ({note["counter"]} if "counter" in note else set())
