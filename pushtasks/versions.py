"""The versions of the services, and when each was first seen: marks for charts.

Each process records its version when it starts. All are in one entity, which is read once by each process and
written once for each deployment. Functions need a context.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime

from google.cloud import ndb

from pushtasks.database import Database
from pushtasks.entities import SeenVersions
from pushtasks.settings import Settings

_ID = "latest"
_MOST = 100


@dataclass(frozen=True, slots=True)
class SeenVersion:
    service: str
    version: str
    first_seen: datetime


def tell(database: Database, settings: Settings, now: datetime) -> None:
    """Record this process's version, if it is new. Raises TaskFailure."""
    if settings.version and not any(_is_of(each, settings) for each in seen(database)):
        database.transaction(lambda: _add(database, settings, now))


def key() -> ndb.Key:
    """Of the entity that has the versions."""
    return ndb.Key(SeenVersions, _ID)


def seen(database: Database) -> list[SeenVersion]:
    """The latest versions, in the order in which they were first seen. Reads one entity."""
    [entity] = database.get([key()])
    return of(entity)


def of(entity: SeenVersions | None) -> list[SeenVersion]:
    """What the entity under `key` has."""
    rows = json.loads(entity.versions) if entity is not None else []
    return [
        SeenVersion(service, version, datetime.fromtimestamp(at_s, UTC)) for service, version, at_s in rows
    ]


def _add(database: Database, settings: Settings, now: datetime) -> None:
    known = seen(database)
    if any(_is_of(each, settings) for each in known):
        return
    known.append(SeenVersion(settings.service, settings.version, now))
    rows = [[each.service, each.version, each.first_seen.timestamp()] for each in known[-_MOST:]]
    SeenVersions(key=key(), versions=json.dumps(rows).encode()).put()


def _is_of(seen_one: SeenVersion, settings: Settings) -> bool:
    return (seen_one.service, seen_one.version) == (settings.service, settings.version)
