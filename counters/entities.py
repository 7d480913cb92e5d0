"""The counters' entities in Datastore."""

from __future__ import annotations

from datetime import datetime

from google.cloud import ndb

from counters import history
from pushtasks.entities import time_property


class Counter(ndb.Model):
    """Registry of counters, keyed by name; written by the transaction that makes a counter's first shard."""

    created_at = time_property(indexed=False)
    shards = ndb.IntegerProperty(indexed=False)


class CounterShard(ndb.Model):
    """A part of a counter's value, keyed by counter and number. The value is the sum of the parts."""

    value = ndb.IntegerProperty(indexed=False, default=0)
    increments = ndb.IntegerProperty(indexed=False, default=0)
    tasks_applied = ndb.IntegerProperty(indexed=False, default=0)
    tasks_retried = ndb.IntegerProperty(indexed=False, default=0)
    last_applied_at = time_property(indexed=False)
    history = ndb.BlobProperty()
    """See `counters.history`."""

    def before_write(self, now: datetime) -> None:
        self.history = history.extended(self.history, self.value, self.increments, now)


def shard_id(counter: str, number: int) -> str:
    return f"{counter}:{number}"
