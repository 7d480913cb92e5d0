"""Deleting a pending task: first its record says `deleted`, then the queue lets go of it.

In this order a crash between the two leaves a task that is never applied, and never one that is applied
although somebody deleted it.
"""

from __future__ import annotations

import secrets
from datetime import datetime, timedelta

from google.cloud import ndb, tasks_v2

from pushtasks.database import Database
from pushtasks.delivery import ENQUEUED_AT_HEADER, handler_of, instant_of
from pushtasks.entities import DELETED, KEPT, RejectedTask, TaskRecord
from pushtasks.queue_control import QueueControl
from pushtasks.transaction import payload_digest

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
    outcome = database.transaction(lambda: _record(database, queue, name, task, who, now, record_life))
    if outcome != DELETED:
        return 0, f"{outcome} meanwhile, so nothing was deleted"
    control.delete(queue, name)
    return 1, "deleted; kept below, among the kept tasks"


def _record(
    database: Database,
    queue: str,
    name: str,
    task: tasks_v2.Task,
    who: str,
    now: datetime,
    record_life: timedelta,
) -> str:
    """The task's outcome, which is `deleted` from now on if it had none."""
    target = task.app_engine_http_request
    path = target.relative_uri or "/"
    handler = handler_of(path)
    key = TaskRecord.key_of(handler, name)
    [record] = database.get([key])
    if record is not None:
        return str(record.outcome)
    headers = {header.lower(): value for header, value in target.headers.items()}
    record = TaskRecord(
        key=key,
        outcome=DELETED,
        payload_digest=payload_digest(target.body),
        attempts=task.dispatch_count,
        enqueued_at=instant_of(headers.get(ENQUEUED_AT_HEADER.lower())),
        delivery_id=f"deleted-{secrets.token_hex(8)}",
        expire_at=now + record_life,
    )
    kept = RejectedTask(
        key=ndb.Key(RejectedTask, key.id()),
        handler=handler,
        outcome=DELETED,
        state=KEPT,
        reason=REASON,
        detail=f"Deleted by {who or 'somebody unnamed'} after {task.dispatch_count} attempts.",
        queue=queue,
        path=path,
        headers=headers,
        payload=target.body,
        rejected_at=now,
    )
    ndb.put_multi([record, kept])
    return DELETED
