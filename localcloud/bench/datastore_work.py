"""The work that the Datastore benchmark measures: what a client does, through google-cloud-ndb or plain."""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable
from statistics import median
from typing import Any

from google.api_core import exceptions
from google.cloud import datastore as library
from google.cloud import ndb
from localcloud.testing.client_environment import clients_of

_datastore: Any = library
_PROJECT = "bench"
_PUT = 500


class Marker(ndb.Model):
    """That something was done, as a counter notes it for each task."""

    amount = ndb.IntegerProperty(indexed=False)


class Total(ndb.Model):
    """What is incremented."""

    value = ndb.IntegerProperty(indexed=False, default=0)


class Work:
    """Measurements against one server; `failures` counts transactions that failed at their only try."""

    def __init__(self, address: str) -> None:
        with clients_of(address):
            self._ndb: Any = ndb.Client(project=_PROJECT)
            self._client: Any = _datastore.Client(project=_PROJECT)
        self._run = secrets.token_hex(4)
        self.failures = 0

    def transactions(self, threads: int, is_hot: bool, seconds: float) -> float:
        """Idempotent transactions a second: look up a marker and a total, and write both."""
        return self._increments(threads, 1, seconds, lambda thread: "hot" if is_hot else f"{thread}")

    def groups(self, size: int, threads: int, seconds: float) -> float:
        """Increments a second, `size` of them in a transaction that looks up and writes one entity more."""
        return self._increments(threads, size, seconds, lambda thread: f"{thread}")

    def load(self, entities: int) -> None:
        """Write many small entities with one indexed property."""
        for start in range(0, entities, _PUT):
            some = []
            for number in range(start, min(start + _PUT, entities)):
                # The keys come in another order than the values.
                entity = _datastore.Entity(self._client.key("Small", f"{number * 7919 % entities:08}"))
                entity["at"] = number
                some.append(entity)
            self._client.put_multi(some)

    def newest(self, count: int) -> float:
        """Milliseconds for the first results by an indexed property, descending."""
        query = self._client.query(kind="Small")
        query.order = ["-at"]
        return _milliseconds(lambda: list(query.fetch(limit=count)))

    def count(self) -> float:
        """Milliseconds for the number of all entities of the kind."""
        query = self._client.query(kind="Small")
        return _milliseconds(lambda: list(self._client.aggregation_query(query).count().fetch()))

    def _increments(self, threads: int, size: int, seconds: float, total: Callable[[int], str]) -> float:
        done = [0] * threads
        failed = [0] * threads
        stop_at = time.perf_counter() + seconds

        def work(thread: int) -> None:
            number = 0
            with self._ndb.context():
                while time.perf_counter() < stop_at:
                    number += 1
                    keys: list[Any] = [
                        ndb.Key(Marker, f"{self._run}-{thread}-{number}-{each}") for each in range(size)
                    ]
                    keys.append(ndb.Key(Total, f"{self._run}-{total(thread)}"))
                    try:
                        ndb.transaction(lambda keys=keys: _increment(keys), retries=0)
                        done[thread] += size
                    except exceptions.GoogleAPICallError:
                        failed[thread] += 1

        workers = [threading.Thread(target=work, args=(thread,)) for thread in range(threads)]
        began = time.perf_counter()
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        self.failures += sum(failed)
        return sum(done) / (time.perf_counter() - began)


def _increment(keys: list[Any]) -> None:
    found = ndb.get_multi(keys, retries=0)
    total = found[-1] or Total(key=keys[-1], value=0)
    fresh = [key for key, entity in zip(keys[:-1], found[:-1], strict=True) if entity is None]
    total.value += len(fresh)
    ndb.put_multi([*(Marker(key=key, amount=1) for key in fresh), total])


def _milliseconds(call: Callable[[], Any]) -> float:
    times = []
    for _ in range(9):
        began = time.perf_counter()
        call()
        times.append(time.perf_counter() - began)
    return median(times) * 1000
