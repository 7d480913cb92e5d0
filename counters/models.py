"""The entities in Datastore.

Only what is queried is indexed, and no timestamp of applied records is: new values of such an index all
land in one place, which Datastore can't spread ("hot range" in its best practices).
"""

from __future__ import annotations

from datetime import UTC
from typing import Any

from google.cloud import ndb

APPLIED, REJECTED, DELETED = "applied", "rejected", "deleted"

KEPT, RE_ENQUEUEING, RE_ENQUEUED, DISCARDED = "kept", "re-enqueueing", "re-enqueued", "discarded"


def _instant(**options: Any) -> ndb.DateTimeProperty:
    return ndb.DateTimeProperty(tzinfo=UTC, **options)


class Counter(ndb.Model):
    """Registry of counters, keyed by name. Written before the first increment is applied."""

    created_at = _instant(indexed=False)
    shards = ndb.IntegerProperty(indexed=False)


class CounterShard(ndb.Model):
    """A part of a counter's value, keyed by counter and number. The value is the sum of the parts."""

    value = ndb.IntegerProperty(indexed=False, default=0)
    tasks_applied = ndb.IntegerProperty(indexed=False, default=0)
    tasks_retried = ndb.IntegerProperty(indexed=False, default=0)
    last_applied_at = _instant(indexed=False)

    @staticmethod
    def key_of(counter: str, number: int) -> ndb.Key:
        return ndb.Key(CounterShard, f"{counter}:{number}")


class TaskRecord(ndb.Model):
    """The arbiter of a task's outcome, keyed by handler and task name: whoever writes it first, decides."""

    outcome = ndb.TextProperty()
    counter = ndb.TextProperty()
    amount = ndb.IntegerProperty(indexed=False)
    payload_digest = ndb.TextProperty()
    attempts = ndb.IntegerProperty(indexed=False)
    enqueued_at = _instant(indexed=False)
    delivery_id = ndb.TextProperty()
    expire_at = _instant(indexed=False)

    @staticmethod
    def key_of(handler: str, task_name: str) -> ndb.Key:
        # The hash in the name comes first, so that neighbouring keys are not neighbours in time.
        return ndb.Key(TaskRecord, f"{task_name}@{handler}")


class RejectedTask(ndb.Model):
    """What is kept of a task that was rejected or deleted, for a person to decide on; keyed as its record.

    A kind of its own: ndb writes every property of a kind into each entity, so on TaskRecord these would
    cost every applied task five empty properties, one of them indexed.
    """

    handler = ndb.StringProperty()
    outcome = ndb.TextProperty()
    state = ndb.StringProperty()
    reason = ndb.StringProperty()
    detail = ndb.TextProperty()
    queue = ndb.TextProperty()
    path = ndb.TextProperty()
    headers = ndb.JsonProperty()
    payload = ndb.BlobProperty()
    rejected_at = _instant()
    replacement = ndb.TextProperty()
    replacement_tries = ndb.IntegerProperty(indexed=False)
    """How often its replacement may have been created since the task was last kept or discarded."""
    replaced_at = _instant(indexed=False)
    replacement_path = ndb.TextProperty()
    replacement_payload = ndb.BlobProperty()


class RetryStatistics(ndb.Model):
    """What happened to a handler's tasks, keyed by handler and slot; readers sum the slots."""

    applied = ndb.IntegerProperty(indexed=False, default=0)
    applied_first_attempt = ndb.IntegerProperty(indexed=False, default=0)
    attempts = ndb.IntegerProperty(indexed=False, default=0)
    most_attempts = ndb.IntegerProperty(indexed=False, default=0)
    duplicates = ndb.IntegerProperty(indexed=False, default=0)
    rejected = ndb.IntegerProperty(indexed=False, default=0)
    since = _instant(indexed=False)
    histograms = ndb.BlobProperty()
    minutes = ndb.BlobProperty()

    @staticmethod
    def key_of(handler: str, slot: int) -> ndb.Key:
        return ndb.Key(RetryStatistics, f"{handler}:{slot}")


class AdminAction(ndb.Model):
    """What an administrator did, keyed by a time-ordered id, newest first."""

    at = _instant(indexed=False)
    who = ndb.TextProperty()
    action = ndb.TextProperty()
    target = ndb.TextProperty()
    count = ndb.IntegerProperty(indexed=False)
    result = ndb.TextProperty()
