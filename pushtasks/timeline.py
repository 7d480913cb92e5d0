"""All that is known of one task: what happened to it and when, what it carried, and its relatives.

Gathered from its record, its follow-ups, its counted failures, what was kept of it, and its queue. A queue
remembers the first and the last attempt of a task only, and forgets both with the task.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from google.cloud import ndb, tasks_v2

from pushtasks import kept_tasks, names
from pushtasks.database import Database
from pushtasks.delivery import DUE_AT_HEADER, ENQUEUED_AT_HEADER, PARENT_HEADER, time_of
from pushtasks.entities import FollowUps, KeptTask, TaskFailures, TaskRecord, task_id
from pushtasks.errors import Rejected
from pushtasks.follow_ups import name_of
from pushtasks.kept_tasks import KeptTaskView
from pushtasks.queue_control import QueueControl, moment_of
from pushtasks.settings import Settings
from pushtasks.task import Kinds

PENDING = "pending"


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened to a task, or will: the next try."""

    at: datetime
    what: str
    """created, due, first attempt, last attempt, attempt failed, next try, applied, rejected, gave-up, ..."""
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Relative:
    """Another task: the one that asked for this one, one that this one asked for, or the same again."""

    task: str
    name: str
    state: str | None = None
    """Its recorded outcome; None if it has none: pending, or never created."""


@dataclass(frozen=True, slots=True)
class Timeline:
    """One task. None or empty is what can't be known, such as the payload of an applied task."""

    task: str
    name: str
    state: str
    """Its recorded outcome, or `pending`."""
    queue: str
    events: list[Event]
    """In the order of time."""
    attempts: int = 0
    last_answer: str | None = None
    next_try: datetime | None = None
    note: Any = None
    path: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    payload: bytes | None = None
    parent: Relative | None = None
    """The task that asked for this follow-up; known while this one is pending or kept."""
    follow_ups: list[Relative] = field(default_factory=list)
    enqueued_again_from: Relative | None = None
    enqueued_again_as: Relative | None = None
    kept: KeptTaskView | None = None

    @property
    def text(self) -> str | None:
        """The payload as text; None if there is none, or it isn't text."""
        try:
            return self.payload.decode() if self.payload is not None else None
        except UnicodeDecodeError:
            return None

    @property
    def can_run(self) -> bool:
        return self.state == PENDING


class Timelines:
    """Reads timelines. One per process; threads may share it. Calls need a context."""

    def __init__(self, database: Database, control: QueueControl, kinds: Kinds, settings: Settings) -> None:
        self._database = database
        self._control = control
        self._kinds = kinds
        self._settings = settings

    def find(self, text: str, task: str = "") -> Timeline | None:
        """The task of this name, or the one that this Idempotency-Key made; of one kind, or of any.

        None: no such task was ever seen, or its record has expired. Raises Rejected for a text that is
        neither, TaskFailure, OutcomeUnknown, QueueRefused.
        """
        candidates = list(_names_of(text))
        for kind in self._kinds:
            if task in ("", kind.name):
                for name in [*candidates, names.keyed_name(kind.name, text)]:
                    found = self.of(kind.name, name)
                    if found is not None:
                        return found
        return None

    def of(self, task: str, name: str, queue: str = "") -> Timeline | None:
        """The task of this kind and name; None if neither Datastore nor its queue know it.

        `queue` is where it waits, if that is not where its kind's tasks of this name go.
        """
        kind = self._kinds.get(task)
        earlier = names.derived_from(name)
        keys = [
            TaskRecord.key_of(task, name),
            FollowUps.key_of(task, name),
            TaskFailures.key_of(task, name),
            ndb.Key(KeptTask, task_id(task, name)),
            *([ndb.Key(KeptTask, task_id(task, earlier))] if earlier else []),
        ]
        record, follow_ups, failures, kept, *before = self._database.get(keys)
        view = kept_tasks.view(kept) if kept is not None else None
        if not queue:
            of_kind = names.queue_of(name, kind.queues) if kind is not None else ""
            queue = view.queue if view is not None else of_kind
        pending = self._control.get(queue, name) if record is None and queue else None
        if record is None and pending is None:
            # It may have been decided between the two questions.
            [record] = self._database.get(keys[:1])
        if record is None and pending is None and view is None:
            return None
        headers = view.headers if view is not None else _headers_of(pending)
        replacement = view.replacement if view is not None else None
        is_again = any(each is not None and each.replacement == name for each in before)
        return Timeline(
            task=task,
            name=name,
            state=record.outcome if record is not None else PENDING if pending else view.outcome,  # type: ignore[union-attr]
            queue=queue,
            events=sorted(self._events(record, pending, failures, view), key=lambda event: event.at),
            attempts=record.attempts if record is not None else pending.dispatch_count if pending else 0,
            last_answer=_answer_of(pending),
            next_try=moment_of(pending.schedule_time) if pending else None,
            note=json.loads(record.note) if record is not None and record.note else None,
            path=view.path if view is not None else _path_of(pending),
            headers=headers,
            payload=view.payload if view is not None else _payload_of(pending),
            parent=_parent_of(headers),
            follow_ups=self._relatives(task, name, follow_ups),
            enqueued_again_from=Relative(task, earlier) if earlier and is_again else None,
            enqueued_again_as=Relative(task, replacement) if replacement else None,
            kept=view,
        )

    def _events(
        self,
        record: TaskRecord | None,
        pending: tasks_v2.Task | None,
        failures: TaskFailures | None,
        kept: KeptTaskView | None,
    ) -> Iterator[Event]:
        headers = kept.headers if kept is not None else _headers_of(pending)
        created = time_of(headers.get(ENQUEUED_AT_HEADER.lower())) or (record and record.enqueued_at)
        if created is None and pending is not None:
            created = moment_of(pending.create_time)
        if created:
            yield Event(created, "created")
        due = time_of(headers.get(DUE_AT_HEADER.lower()))
        if due:
            yield Event(due, "due")
        for each in json.loads(failures.failures) if failures is not None else ():
            yield Event(datetime.fromisoformat(each["at"]), "attempt failed", each["error"])
        if pending is not None:
            yield from _attempts_of(pending)
        if record is not None:
            # The record says until when it is kept; changing that setting changes what is shown here.
            yield Event(
                record.expire_at - self._settings.record_life, record.outcome, _detail_of(record, kept)
            )
            yield Event(record.expire_at, "record expires")

    def _relatives(self, task: str, name: str, stored: FollowUps | None) -> list[Relative]:
        wanted = json.loads(stored.tasks) if stored is not None else []
        children = [(each["task"], name_of(task, name, place)) for place, each in enumerate(wanted)]
        records = self._database.get(TaskRecord.key_of(*child) for child in children) if children else []
        return [
            Relative(*child, record.outcome if record is not None else None)
            for child, record in zip(children, records, strict=True)
        ]


def as_json(timeline: Timeline) -> dict[str, object]:
    """A timeline for programs; the payload as text, or as hexadecimal digits if it isn't text."""

    def relative(other: Relative | None) -> dict[str, object] | None:
        return {"task": other.task, "name": other.name, "state": other.state} if other else None

    return {
        "kind": timeline.task,
        "task": timeline.name,
        "state": timeline.state,
        "queue": timeline.queue,
        "attempts": timeline.attempts,
        "last_answer": timeline.last_answer,
        "next_try": timeline.next_try.isoformat() if timeline.next_try else None,
        "events": [
            {"at": event.at.isoformat(), "what": event.what, "detail": event.detail}
            for event in timeline.events
        ],
        "note": timeline.note,
        "path": timeline.path,
        "headers": dict(timeline.headers),
        "payload": timeline.text,
        "payload_hex": timeline.payload.hex() if timeline.payload and timeline.text is None else None,
        "parent": relative(timeline.parent),
        "follow_ups": [relative(each) for each in timeline.follow_ups],
        "enqueued_again_from": relative(timeline.enqueued_again_from),
        "enqueued_again_as": relative(timeline.enqueued_again_as),
    }


def _names_of(text: str) -> Iterator[str]:
    """What a text can name: a task, or by its key another one. Raises Rejected if it can be neither."""
    try:
        yield names.parse_task_name(text)
    except Rejected:
        names.parse_idempotency_key(text)


def _attempts_of(pending: tasks_v2.Task) -> Iterator[Event]:
    """The first and the last attempt, and the next: all that a queue remembers."""
    first, last, tries = pending.first_attempt, pending.last_attempt, pending.dispatch_count
    answer = last.response_status.message
    for value, what, detail in (
        (first.dispatch_time if tries > 1 else None, "first attempt", ""),
        (last.dispatch_time if tries else None, "last attempt", f"attempt {tries}"),
        (last.response_time, "last answer", answer),
        (pending.schedule_time, "next try" if tries else "first try", ""),
    ):
        moment = moment_of(value)
        if moment is not None:
            yield Event(moment, what, detail)


def _detail_of(record: TaskRecord, kept: KeptTaskView | None) -> str:
    if kept is not None:
        return kept.detail
    return f"by attempt {record.attempts}" if record.attempts else ""


def _answer_of(pending: tasks_v2.Task | None) -> str | None:
    if pending is None or not pending.last_attempt.response_time:
        return None
    return pending.last_attempt.response_status.message or None


def _headers_of(pending: tasks_v2.Task | None) -> dict[str, str]:
    if pending is None:
        return {}
    return {name.lower(): value for name, value in pending.app_engine_http_request.headers.items()}


def _path_of(pending: tasks_v2.Task | None) -> str | None:
    return (pending.app_engine_http_request.relative_uri or "/") if pending is not None else None


def _payload_of(pending: tasks_v2.Task | None) -> bytes | None:
    return pending.app_engine_http_request.body if pending is not None else None


def _parent_of(headers: Mapping[str, str]) -> Relative | None:
    task, _, name = headers.get(PARENT_HEADER.lower(), "").partition("/")
    return Relative(task, name) if task and name else None
