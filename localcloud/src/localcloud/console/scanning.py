"""What Datastore can't filter by: looked for in one entity after the other, for a bounded time.

Properties that aren't indexed, those that are missing or of the wrong type, and texts inside of values are
in no index. A scan reads a query's results and keeps those that pass.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from localcloud.console.datastore import Datastore, Stored
from localcloud.console.errors import Problem
from localcloud.console.keys import Database
from localcloud.console.value_text import AS_JSON_STRING, TYPES, type_name, typed_text

CONTAINS, IS_OF_TYPE, IS_MISSING = "CONTAINS", "IS OF TYPE", "IS MISSING"
OPERATORS = (CONTAINS, IS_OF_TYPE, IS_MISSING)
_SECONDS = 1.0
_BATCH = 300

Test = Callable[[Any], bool]


@dataclass(frozen=True, slots=True)
class Scanned:
    """What a scan has found, and in how many entities. `cursor` goes on from there; empty: at the end."""

    results: Sequence[Stored]
    read: int
    cursor: bytes


def test_of(name: str, operator: str, value: str) -> Test:
    """The test of an entity. Raises Problem.

    CONTAINS ignores case; values that aren't strings are searched as text.
    """
    if operator == IS_MISSING:
        return lambda entity: name not in entity.properties
    if operator == IS_OF_TYPE:
        wanted = value.strip()
        if wanted not in TYPES or wanted == AS_JSON_STRING:
            raise Problem(f"{value!r} is not a type. Expected one of {', '.join(TYPES)}.")
        return lambda entity: name in entity.properties and type_name(entity.properties[name]) == wanted
    part = value.lower()
    return lambda entity: name in entity.properties and part in _text(entity.properties[name]).lower()


def scan(
    datastore: Datastore, where: Database, query: Any, tests: Sequence[Test], cursor: bytes, most: int
) -> Scanned:
    """The next `most` results that pass all tests, or those that a second of reading finds."""
    found: list[Stored] = []
    read = 0
    deadline = time.monotonic() + _SECONDS
    batch = type(query)()
    batch.CopyFrom(query)
    batch.limit.value = _BATCH
    while True:
        page = datastore.page(where, batch, cursor)
        for stored in page.results:
            read += 1
            if all(test(stored.entity) for test in tests):
                found.append(stored)
                if len(found) == most:
                    return Scanned(found, read, stored.cursor)
        cursor = page.cursor
        if not cursor or time.monotonic() > deadline:
            return Scanned(found, read, cursor)


def _text(value: Any) -> str:
    return value.string_value if value.HasField("string_value") else typed_text(value).text
