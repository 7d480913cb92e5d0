"""Tasks that were rejected, given up or deleted and are kept for a person: found by reason and state.

Every function needs a context. What can be done with them is in `pushtasks.re_enqueue`.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from google.cloud import ndb

from pushtasks.database import Database
from pushtasks.entities import DISCARDED, KEPT, RE_ENQUEUED, RE_ENQUEUEING, KeptTask
from pushtasks.errors import Rejected, TaskFailure, in_full
from pushtasks.messages import Conditions

log = logging.getLogger(__name__)

STATES = (KEPT, RE_ENQUEUEING, RE_ENQUEUED, DISCARDED)

MOST_AT_ONCE = 1000
"""The most tasks that one action on all of a reason changes."""

MOST_SEARCHED = 200
"""The most tasks that a page of a search looks through."""

MOST_GROUPS = 8
"""The most reasons that a summary lists separately."""


@dataclass(frozen=True, slots=True)
class KeptTaskView:
    """A task that was not applied, and what is kept of it."""

    id: str
    handler: str
    name: str
    outcome: str
    state: str
    reason: str
    detail: str
    queue: str
    path: str
    headers: Mapping[str, str]
    payload: bytes
    kept_at: datetime
    replacement: str | None
    replacement_path: str | None
    replacement_payload: bytes | None

    @property
    def text(self) -> str | None:
        """The payload as text; None if it isn't text."""
        try:
            return self.payload.decode()
        except UnicodeDecodeError:
            return None

    @property
    def content_type(self) -> str:
        return content_type_of(self.headers)


@dataclass(frozen=True, slots=True)
class Group:
    """Tasks in one state that are kept for one reason; `count` is exact below `MOST_AT_ONCE`."""

    reason: str
    count: int | None
    """None if there is no count: some servers, such as Google's Datastore emulator, count nothing."""

    @property
    def is_capped(self) -> bool:
        return (self.count or 0) >= MOST_AT_ONCE


@dataclass(frozen=True, slots=True)
class Groups:
    """The reasons that tasks are kept for, and how many tasks in all."""

    groups: list[Group]
    more_reasons: bool
    kept: int | None


@dataclass(frozen=True, slots=True)
class KeptPage:
    tasks: list[KeptTaskView]
    next_cursor: str | None
    looked_through: int = 0
    """How many were read to find these."""


def groups(database: Database) -> Groups:
    """What waits for a decision, by reason. Reads at most nine index entries, and counts the rest."""
    query = KeptTask.query(KeptTask.state == KEPT)
    found = database.run_query(query, MOST_GROUPS + 1, projection=["reason"], distinct_on=["reason"])
    reasons = [entity.reason for entity in found]
    conditions: list[Conditions] = [_conditions(KEPT, reason) for reason in reasons[:MOST_GROUPS]]
    all_kept, *counts = _counts(database, [_conditions(KEPT), *conditions])
    listed = [Group(reason, count) for reason, count in zip(reasons, counts, strict=False)]
    return Groups(sorted(listed, key=lambda group: -(group.count or 0)), len(reasons) > MOST_GROUPS, all_kept)


def count(database: Database, state: str, reason: str = "", cutoff: datetime | None = None) -> int | None:
    """How many there are, kept up to the cutoff if one is given; counted up to `MOST_AT_ONCE`.

    None if that can't be counted just now.
    """
    [number] = _counts(database, [_conditions(state, reason, cutoff)])
    return number


def page(
    database: Database, state: str, reason: str = "", cursor: str | None = None, size: int = 20
) -> KeptPage:
    """The latest first. Raises Rejected for a cursor that this list did not give."""
    query = _query(state, reason).order(-KeptTask.kept_at)
    found, following = database.run_page(query, size, cursor)
    return KeptPage([view(entity) for entity in found], following, len(found))


def search(
    database: Database, state: str, reason: str = "", cursor: str | None = None, *, kind: str, text: str
) -> KeptPage:
    """Those of a kind whose reason or detail contains `text`, in upper or lower case, among the next 200.

    They are read and looked at: an index of its own would cost each kept task a write. Raises Rejected.
    """
    whole = page(database, state, reason, cursor, MOST_SEARCHED)
    found = [
        task
        for task in whole.tasks
        if kind in ("", task.handler) and text.casefold() in f"{task.reason}\n{task.detail}".casefold()
    ]
    return KeptPage(found, whole.next_cursor, whole.looked_through)


def ids_up_to(database: Database, state: str, reason: str, cutoff: datetime) -> list[str]:
    """The ids of all of a reason, kept up to the cutoff; the latest `MOST_AT_ONCE` of them."""
    query = _query(state, reason).filter(KeptTask.kept_at <= cutoff).order(-KeptTask.kept_at)
    return [key.id() for key in database.run_query(query, MOST_AT_ONCE, keys_only=True)]


def find(database: Database, task_id: str) -> KeptTaskView | None:
    """One kept task; None if that id does not exist."""
    if not 1 <= len(task_id.encode()) <= 1500:
        return None
    [entity] = database.get([ndb.Key(KeptTask, task_id)])
    return view(entity) if entity is not None else None


def parse_state(text: str) -> str:
    """A state of a kept task. Raises Rejected."""
    if text not in STATES:
        raise Rejected("state", text, "one of " + ", ".join(STATES))
    return text


def content_type_of(headers: Mapping[str, str] | None) -> str:
    """The content type that a kept task came with."""
    return (headers or {}).get("content-type", "application/octet-stream")


def _counts(database: Database, conditions: Sequence[Conditions]) -> Sequence[int | None]:
    try:
        return database.counts("KeptTask", conditions, MOST_AT_ONCE)
    except TaskFailure as failure:
        log.warning("Kept tasks can't be counted: %s", in_full(failure))
        return [None] * len(conditions)


def _query(state: str, reason: str) -> ndb.Query:
    query = KeptTask.query(KeptTask.state == state)
    return query.filter(KeptTask.reason == reason) if reason else query


def _conditions(state: str, reason: str = "", cutoff: datetime | None = None) -> Conditions:
    conditions: list[tuple[str, str, str | datetime]] = [("state", "=", state)]
    if reason:
        conditions.append(("reason", "=", reason))
    if cutoff is not None:
        conditions.append(("kept_at", "<=", cutoff))
    return conditions


def view(entity: KeptTask) -> KeptTaskView:
    task_id = str(entity.key.id())
    return KeptTaskView(
        id=task_id,
        handler=entity.handler,
        name=task_id.removesuffix(f"@{entity.handler}"),
        outcome=entity.outcome,
        state=entity.state,
        reason=entity.reason,
        detail=entity.detail,
        queue=entity.queue,
        path=entity.path,
        headers=entity.headers or {},
        payload=entity.payload or b"",
        kept_at=entity.kept_at,
        replacement=entity.replacement,
        replacement_path=entity.replacement_path,
        replacement_payload=entity.replacement_payload,
    )
