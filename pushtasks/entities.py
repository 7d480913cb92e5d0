"""The engine's entities in Datastore.

Only what is queried is indexed, and no time of an applied record is: new values of such an index all land in
one place, which Datastore can't spread ("hot range" in its best practices).
"""

from __future__ import annotations

from datetime import UTC
from typing import Any

from google.cloud import ndb

APPLIED, REJECTED, DELETED, GAVE_UP, REFUSED = "applied", "rejected", "deleted", "gave-up", "refused"
"""What a record may say. REFUSED: a follow-up that Cloud Tasks would not take."""

KEPT, RE_ENQUEUEING, RE_ENQUEUED, DISCARDED = "kept", "re-enqueueing", "re-enqueued", "discarded"
"""The states of a kept task."""


def time_property(**options: Any) -> ndb.DateTimeProperty:
    return ndb.DateTimeProperty(tzinfo=UTC, **options)


def task_id(task: str, name: str) -> str:
    """The id of everything that is kept about one task. `task` is its kind, `name` its own name.

    The hash in the name comes first, so that neighbouring keys are not neighbours in time.
    """
    return f"{name}@{task}"


class TaskRecord(ndb.Model):
    """Decides a task's outcome, by `task_id`: whoever writes it first has decided."""

    outcome = ndb.TextProperty()
    note = ndb.TextProperty()
    """What the kind says about the payload, as JSON; None if nothing."""
    payload_digest = ndb.TextProperty()
    attempts = ndb.IntegerProperty(indexed=False)
    enqueued_at = time_property(indexed=False)
    delivery_id = ndb.TextProperty()
    follow_ups = ndb.IntegerProperty(indexed=False)
    """How many there are in `FollowUps`; None if there is no such entity."""
    expire_at = time_property(indexed=False)

    @staticmethod
    def key_of(task: str, name: str) -> ndb.Key:
        return ndb.Key(TaskRecord, task_id(task, name))


class FollowUps(ndb.Model):
    """The follow-ups of an applied task, by `task_id`; written with its record, and never changed."""

    tasks = ndb.BlobProperty()
    """JSON: [{"task": "send-receipt", "payload": {...}, "due_at": 1793620800.0 or null}, ...]"""
    enqueued_at = time_property(indexed=False)
    """The parent's commit."""
    expire_at = time_property(indexed=False)

    @staticmethod
    def key_of(task: str, name: str) -> ndb.Key:
        return ndb.Key(FollowUps, task_id(task, name))


class TaskFailures(ndb.Model):
    """The deliveries of a task that failed by its own fault, by `task_id`; for kinds that give up."""

    failures = ndb.BlobProperty()
    """JSON: [{"delivery": "9f…", "at": "2026-05-01T12:00:30+00:00", "error": "ValueError: …"}, ...]"""
    expire_at = time_property(indexed=False)

    @staticmethod
    def key_of(task: str, name: str) -> ndb.Key:
        return ndb.Key(TaskFailures, task_id(task, name))


class KeptTask(ndb.Model):
    """A task that was not applied, kept for a person to decide on, by `task_id`.

    A kind of its own: ndb writes every property of a kind into each entity, so on TaskRecord these would
    cost every applied task its empty properties, three of them indexed.
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
    kept_at = time_property()
    replacement = ndb.TextProperty()
    replaced_at = time_property(indexed=False)
    replacement_path = ndb.TextProperty()
    replacement_payload = ndb.BlobProperty()
    replacement_tries = ndb.IntegerProperty(indexed=False)
    """How often its creation was begun: after the first time an earlier answer may have got lost."""


class TaskStatistics(ndb.Model):
    """What happened to a kind's tasks, keyed by kind and slot; readers sum the slots."""

    applied = ndb.IntegerProperty(indexed=False, default=0)
    applied_first_attempt = ndb.IntegerProperty(indexed=False, default=0)
    attempts = ndb.IntegerProperty(indexed=False, default=0)
    most_attempts = ndb.IntegerProperty(indexed=False, default=0)
    duplicates = ndb.IntegerProperty(indexed=False, default=0)
    rejected = ndb.IntegerProperty(indexed=False, default=0)
    gave_up = ndb.IntegerProperty(indexed=False, default=0)
    failures = ndb.IntegerProperty(indexed=False, default=0)
    since = time_property(indexed=False)
    histograms = ndb.BlobProperty()
    running = ndb.BlobProperty()
    """The minute, the hour and the day that are under way: `pushtasks.ring.Running`, as JSON."""
    minutes = ndb.BlobProperty()
    """The ring of minutes; those of hours and days are in `TaskHistory`."""

    @staticmethod
    def key_of(task: str, slot: int) -> ndb.Key:
        return ndb.Key(TaskStatistics, f"{task}:{slot}")


class TaskHistory(ndb.Model):
    """What happened to a kind's tasks hour by hour and day by day, keyed like `TaskStatistics`.

    An entity of its own, because it is some 20 KB, and is written only when an hour has ended.
    """

    hours = ndb.BlobProperty()
    days = ndb.BlobProperty()

    @staticmethod
    def key_of(task: str, slot: int) -> ndb.Key:
        return ndb.Key(TaskHistory, f"{task}:{slot}")


class QueueSamples(ndb.Model):
    """What `pushtasks.backlog` sampled: one entity for all queues."""

    samples = ndb.BlobProperty()
    """JSON, compressed: {"receipts": [[minute since 1970, tasks, oldest wait in s], ...], ...}"""


class SeenVersions(ndb.Model):
    """Which version was first seen when: one entity for all services."""

    versions = ndb.BlobProperty()
    """JSON: [["default", "20260501t120000", 1777636800.0], ...]"""


class AdminAction(ndb.Model):
    """What an administrator did, keyed by a time-ordered id, newest first."""

    at = time_property(indexed=False)
    who = ndb.TextProperty()
    action = ndb.TextProperty()
    target = ndb.TextProperty()
    count = ndb.IntegerProperty(indexed=False)
    result = ndb.TextProperty()
