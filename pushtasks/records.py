"""Records and kept tasks, written in one way by all that decide a task's outcome."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime, timedelta

from google.cloud import ndb

from pushtasks.delivery import Delivery, payload_digest
from pushtasks.entities import KEPT, KeptTask, TaskRecord, task_id

_MOST_NOTE_BYTES = 16_000
_MOST_KEPT_BYTES = 900_000
"""Of a payload: an entity holds 1,048,572 bytes ("Limits", Datastore docs)."""


def record_of(
    task: str,
    delivery: Delivery,
    outcome: str,
    now: datetime,
    life: timedelta,
    *,
    note: Mapping[str, object] | None = None,
    follow_ups: int = 0,
) -> TaskRecord:
    """The record that decides the outcome of the task that `delivery` brings."""
    return TaskRecord(
        key=TaskRecord.key_of(task, delivery.name),
        outcome=outcome,
        note=_as_text(note) if note is not None else None,
        payload_digest=payload_digest(delivery.body),
        attempts=delivery.attempt,
        enqueued_at=delivery.enqueued_at,
        delivery_id=delivery.id,
        follow_ups=follow_ups or None,
        expire_at=now + life,
    )


def kept_of(
    task: str, delivery: Delivery, outcome: str, now: datetime, *, reason: str, detail: str
) -> KeptTask:
    """What is kept of a task that was not applied. `reason` groups tasks, `detail` is about this one."""
    return KeptTask(
        key=ndb.Key(KeptTask, task_id(task, delivery.name)),
        handler=task,
        outcome=outcome,
        state=KEPT,
        reason=reason,
        detail=detail,
        queue=delivery.queue,
        path=delivery.path + (f"?{delivery.query}" if delivery.query else ""),
        headers=_headers_of(delivery),
        payload=delivery.body[:_MOST_KEPT_BYTES],
        kept_at=now,
    )


def _headers_of(delivery: Delivery) -> dict[str, str]:
    """With the content type, which a WSGI server tells apart from the other headers."""
    own = {"content-type": delivery.content_type} if delivery.content_type else {}
    return {**delivery.headers, **own}


def _as_text(note: Mapping[str, object]) -> str:
    text = json.dumps(note, separators=(",", ":"))
    if len(text) > _MOST_NOTE_BYTES:
        raise ValueError(f"A note of {len(text)} bytes. Expected at most {_MOST_NOTE_BYTES}.")
    return text
