"""Deleting a pending task: first its record says `deleted`, then the queue lets go of it.

In this order a crash between the two leaves a task that is never applied, and never one that is applied
although somebody deleted it.
"""

from __future__ import annotations

import secrets
from datetime import datetime, timedelta

from google.cloud import ndb, tasks_v2

from pushtasks.database import Database
from pushtasks.delivery import ENQUEUED_AT_HEADER, Delivery, handler_of, time_of
from pushtasks.entities import DELETED, TaskRecord
from pushtasks.queue_control import QueueControl
from pushtasks.records import kept_of, record_of

REASON = "deleted by an administrator"


def delete_pending(
    database: Database,
    control: QueueControl,
    queue: str,
    name: str,
    *,
    who: str,
    now: datetime,
    record_life: timedelta,
) -> tuple[int, str]:
    """How many were deleted (0 or 1), and a sentence. Needs a context.

    If the task has been applied meanwhile, it says so and deletes nothing. A second call finishes what a
    first one began. Raises what `QueueControl` and `Database.transaction` raise.
    """
    task = control.get(queue, name)
    if task is None:
        return 0, "not there any more: applied, or deleted before"
    delivery = _as_delivery(queue, name, task)
    outcome = database.transaction(lambda: _record(database, delivery, who, now, record_life))
    if outcome != DELETED:
        return 0, f"{outcome} by then, so nothing was deleted"
    control.delete(queue, name)
    return 1, "deleted; kept among the rejected tasks"


def _record(database: Database, delivery: Delivery, who: str, now: datetime, record_life: timedelta) -> str:
    """The task's outcome, which is `deleted` from now on if it had none."""
    handler = handler_of(delivery.path)
    [record] = database.get([TaskRecord.key_of(handler, delivery.name)])
    if record is not None:
        return str(record.outcome)
    tried = f"{delivery.retry_count} {'attempt' if delivery.retry_count == 1 else 'attempts'}"
    kept = kept_of(
        handler,
        delivery,
        DELETED,
        now,
        reason=REASON,
        detail=f"Deleted by {who or 'somebody unnamed'} after {tried}.",
    )
    ndb.put_multi([record_of(handler, delivery, DELETED, now, record_life), kept])
    return DELETED


def _as_delivery(queue: str, name: str, task: tasks_v2.Task) -> Delivery:
    """The pending task as its next delivery would bring it."""
    target = task.app_engine_http_request
    headers = {header.lower(): value for header, value in target.headers.items()}
    path, _, query = (target.relative_uri or "/").partition("?")
    return Delivery(
        name=name,
        queue=queue,
        retry_count=task.dispatch_count,
        enqueued_at=time_of(headers.get(ENQUEUED_AT_HEADER.lower())),
        path=path,
        query=query,
        body=target.body,
        headers=headers,
        id=f"deleted-{secrets.token_hex(8)}",
    )
