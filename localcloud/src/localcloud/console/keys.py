"""A key in all its spellings: any of them, pasted, finds its entity."""

from __future__ import annotations

import base64
import contextlib
import json
from dataclasses import dataclass
from typing import Any

from google.cloud.datastore.key import Key as ClientKey
from google.protobuf.message import DecodeError

from localcloud.console.errors import Problem
from localcloud.console.key_literals import key_literal, parse_key_literal, path_text
from localcloud.console.typed_json import key_json, parse_base64, parse_json, read_key
from localcloud.datastore.messages import Key


@dataclass(frozen=True, slots=True)
class Database:
    """Where entities lie: a namespace of a database of a project; the default ones are empty."""

    project: str
    database: str = ""
    namespace: str = ""

    def partition(self, message: Any) -> Any:
        """Write this into a PartitionId."""
        message.project_id = self.project
        message.database_id = self.database
        message.namespace_id = self.namespace
        return message

    @staticmethod
    def of(key: Any) -> Database:
        partition = key.partition_id
        return Database(partition.project_id, partition.database_id, partition.namespace_id)


def address(key: Any) -> str:
    """The key as it stands in the console's own addresses."""
    return base64.urlsafe_b64encode(key.SerializeToString()).decode().rstrip("=")


def legacy_text(key: Any) -> str | None:
    """What ndb calls `urlsafe()`, and older clients the encoded key. None: it can't name this key."""
    if key.partition_id.database_id or key.path[-1].WhichOneof("id_type") is None:
        return None
    flat = [part for each in key.path for part in (each.kind, _identifier(each))]
    client_key = ClientKey(  # type: ignore[no-untyped-call]
        *flat, project=key.partition_id.project_id, namespace=key.partition_id.namespace_id or None
    )
    return str(client_key.to_legacy_urlsafe().decode())  # type: ignore[no-untyped-call]


def spellings(key: Any) -> list[tuple[str, str]]:
    """Name and text of each: path, GQL, JSON, urlsafe."""
    found = [
        ("Path", path_text(key)),
        ("GQL", key_literal(key, told=_told(key))),
        ("JSON", json.dumps(key_json(key), ensure_ascii=False)),
    ]
    legacy = legacy_text(key)
    if legacy is not None:
        found.append(("urlsafe (ndb)", legacy))
    return found


def parse_key(text: str, where: Database) -> Any:
    """The key that somebody pasted, in any spelling; what it leaves out of its partition comes from `where`.

    Raises Problem.
    """
    text = text.strip()
    if text.startswith("{"):
        key = read_key(parse_json(text))
    else:
        decoded = _decoded(text)
        key = decoded if decoded is not None else parse_key_literal(text)
    return completed(key, where)


def completed(key: Any, where: Database) -> Any:
    """The key, with the project and database of `where` if it names none, and its namespace, too."""
    partition = key.partition_id
    if not partition.project_id:
        partition.project_id = where.project
        partition.database_id = partition.database_id or where.database
        partition.namespace_id = partition.namespace_id or where.namespace
    return key


def parse_address(text: str) -> Any:
    """The inverse of `address`. Raises Problem."""
    try:
        key = Key.FromString(parse_base64(text))
    except DecodeError:
        key = Key()
    if not key.path:
        raise Problem(f"{text[:60]!r} is not a key of this console.")
    return key


def _decoded(text: str) -> Any:
    """The key in base64: ndb's, or that of the console's own addresses; None if it is neither."""
    try:
        data = parse_base64(text)
    except Problem:
        return None
    with contextlib.suppress(DecodeError):
        key = Key.FromString(data)
        if key.path and all(each.kind for each in key.path):
            return key
    try:
        return ClientKey.from_legacy_urlsafe(text.encode()).to_protobuf()._pb  # type: ignore[no-untyped-call]
    except Exception:  # noqa: BLE001 - whatever it is that Google's decoder meets in other bytes
        return None


def _identifier(element: Any) -> Any:
    return element.id if element.WhichOneof("id_type") == "id" else element.name


def _told(key: Any) -> Any:
    """The partition without its namespace: what a literal need not say within the database."""
    told = Key().partition_id
    told.project_id, told.database_id = key.partition_id.project_id, key.partition_id.database_id
    return told
