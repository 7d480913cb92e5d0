"""Where a task is: what its record says, else what its queue says."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from pushtasks import names
from pushtasks.database import Database
from pushtasks.delivery import handler_of
from pushtasks.entities import TaskRecord
from pushtasks.queues import TaskQueues
from pushtasks.task import AnyTask


@dataclass(frozen=True, slots=True)
class TaskState:
    """A task's recorded outcome (such as `applied`), or `pending`."""

    name: str
    state: str
    note: Any = None
    """What its kind noted about the payload, such as {"guest": "ada"}."""
    attempts: int = 0
    last_response: str | None = None


def task_state(database: Database, queues: TaskQueues, kind: AnyTask, name: str) -> TaskState | None:
    """None if neither the records nor the queue know the task. Needs a context."""
    found = _recorded(database, kind, name)
    if found is not None:
        return found
    pending = queues.get(name, names.queue_of(name, kind.queues))
    if pending is None or handler_of(pending.app_engine_http_request.relative_uri) != kind.name:
        # It may have been applied between the two questions.
        return _recorded(database, kind, name)
    response = pending.last_attempt.response_status.message if pending.response_count else None
    return TaskState(name, "pending", attempts=pending.dispatch_count, last_response=response)


def _recorded(database: Database, kind: AnyTask, name: str) -> TaskState | None:
    [record] = database.get([TaskRecord.key_of(kind.name, name)])
    if record is None:
        return None
    note = json.loads(record.note) if record.note else None
    return TaskState(name, record.outcome, note, record.attempts)
