"""Entities as lines of JSON, out and in: seed data that one can commit.

A line is an entity with the type of each value. A project and a database that it doesn't name are those that
it is imported into, so a file can go from one project to another.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from localcloud.console.datastore import Datastore
from localcloud.console.entity_form import copy_of
from localcloud.console.errors import Problem
from localcloud.console.keys import Database
from localcloud.console.scanning import Test
from localcloud.console.typed_json import entity_json, parse_json, read_entity
from localcloud.datastore import limits
from localcloud.datastore.errors import Refused

_PIECE_BYTES = 64 * 1024


def export_lines(
    datastore: Datastore, where: Database, query: Any, tests: Sequence[Test] = ()
) -> Iterator[bytes]:
    """The results that pass the tests as lines, in pieces of some size.

    They are in the order of their keys, if the query has no other.
    """
    piece: list[str] = []
    size = 0
    for stored in datastore.each(where, query):
        if not all(test(stored.entity) for test in tests):
            continue
        line = json.dumps(entity_json(_without(stored.entity, where)), ensure_ascii=False) + "\n"
        piece.append(line)
        size += len(line)
        if size >= _PIECE_BYTES:
            yield "".join(piece).encode()
            piece, size = [], 0
    yield "".join(piece).encode()


def read_lines(lines: Iterable[bytes], where: Database) -> list[Any]:
    """The entities, all checked. Raises Problem that names the line; empty lines don't matter."""
    found: list[Any] = []
    seen: dict[bytes, int] = {}
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            entity = _read(line.decode().removeprefix("\ufeff"), where)
        except UnicodeDecodeError:
            raise Problem(f"Line {number}: not UTF-8. Nothing was imported.") from None
        except (Problem, Refused) as error:
            raise Problem(f"Line {number}: {str(error).rstrip('.')}. Nothing was imported.") from None
        key = entity.key.SerializeToString(deterministic=True)
        if seen.setdefault(key, number) != number:
            raise Problem(f"Line {number}: the same key as in line {seen[key]}. Nothing was imported.")
        found.append(entity)
    return found


def write(datastore: Datastore, entities: Sequence[Any]) -> None:
    """Write the entities, each in place of the one that has its key. Raises Problem.

    Some may have been written by then; writing them again does no harm.
    """
    databases: dict[tuple[str, str], list[Any]] = {}
    for entity in entities:
        partition = entity.key.partition_id
        databases.setdefault((partition.project_id, partition.database_id), []).append(entity)
    try:
        for group in databases.values():
            datastore.upsert_all(group)
    except Problem as problem:
        text = f"{problem.text}. Some of the entities may have been written; the import can be repeated."
        raise Problem(text, problem.status) from None


def _read(line: str, where: Database) -> Any:
    entity = read_entity(parse_json(line))
    if not entity.key.path:
        raise Problem("the entity has no key")
    project, database = (
        entity.key.partition_id.project_id or where.project,
        entity.key.partition_id.database_id,
    )
    if not entity.key.partition_id.project_id:
        database = where.database
    limits.check_partition(entity.key.partition_id, project, database)
    limits.check_not_reserved(limits.check_path(entity.key), entity.key.partition_id.namespace_id)
    limits.check_entity(entity)
    limits.check_entity_size(entity.ByteSize())
    return entity


def _without(entity: Any, where: Database) -> Any:
    """The entity, whose keys don't name the database that it is in."""
    copied = copy_of(entity)
    for key in _keys(copied):
        partition = key.partition_id
        if (partition.project_id, partition.database_id) == (where.project, where.database):
            partition.project_id = partition.database_id = ""
            if not partition.namespace_id:
                key.ClearField("partition_id")
    return copied


def _keys(entity: Any) -> Iterator[Any]:
    """The entity's own key, and those among its properties, however deep."""
    if entity.HasField("key"):
        yield entity.key
    for value in entity.properties.values():
        for each in value.array_value.values if value.HasField("array_value") else (value,):
            if each.HasField("key_value"):
                yield each.key_value
            elif each.HasField("entity_value"):
                yield from _keys(each.entity_value)
