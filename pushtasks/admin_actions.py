"""The audit trail: what administrators did, and what happened. Every function needs a context."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from datetime import datetime

from google.cloud import ndb

from pushtasks.database import Database
from pushtasks.entities import AdminAction

_END_OF_TIME_US = 10**17


@dataclass(frozen=True, slots=True)
class Action:
    """One thing that somebody did: to what, to how many, and with what result."""

    id: str
    at: datetime
    who: str
    action: str
    target: str
    count: int
    result: str


def record(
    database: Database, now: datetime, who: str, action: str, target: str, count: int, result: str
) -> str:
    """Add to the trail; the new entry's id. Ids sort newest first, so that listing needs no index."""
    left_us = _END_OF_TIME_US - int(now.timestamp() * 1_000_000)
    entry_id = f"{left_us:017d}-{secrets.token_hex(4)}"
    database.put(
        AdminAction(id=entry_id, at=now, who=who, action=action, target=target, count=count, result=result)
    )
    return entry_id


def latest(database: Database, size: int = 20) -> list[Action]:
    """The newest entries, newest first."""
    return [
        _action(entity) for entity in database.run_query(AdminAction.query().order(AdminAction._key), size)
    ]


def page(database: Database, cursor: str | None = None, size: int = 50) -> tuple[list[Action], str | None]:
    """The newest entries after `cursor`, and the cursor of the next page. Raises Rejected for a wrong one."""
    found, following = database.run_page(AdminAction.query().order(AdminAction._key), size, cursor)
    return [_action(entity) for entity in found], following


def find(database: Database, entry_id: str) -> Action | None:
    """One entry; None if that id does not exist."""
    if not 1 <= len(entry_id) <= 100 or not entry_id.isascii():
        return None
    [entity] = database.get([ndb.Key(AdminAction, entry_id)])
    return _action(entity) if entity is not None else None


def _action(entity: AdminAction) -> Action:
    return Action(
        entity.key.id(), entity.at, entity.who, entity.action, entity.target, entity.count, entity.result
    )
