"""Which index rows an entity has: for each indexed property path, its encoded values.

Real service: each element of an array is indexed; properties of embedded entities are indexed under their
path, `a.b`; a property that is excluded, an entity value itself and an empty array are in no index.
"""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import blake2b
from typing import TypeAlias

from localcloud.datastore.messages import Message
from localcloud.datastore.value_encoding import encode_value

IndexedValues: TypeAlias = dict[str, list[bytes]]
"""For each indexed property path, its distinct encoded values in ascending order."""


def indexed_values(entity: Message) -> IndexedValues:
    """The values under which an entity can be found."""
    found: dict[str, set[bytes]] = {}
    _collect(entity, "", found)
    return {path: sorted(values) for path, values in found.items()}


def entries(values: IndexedValues) -> Iterator[tuple[str, bytes, int]]:
    """One per index row: path, encoded value, and 1 if the path has several values in this entity."""
    for path, encoded in values.items():
        has_several = int(len(encoded) > 1)
        for value in encoded:
            yield path, value, has_several


def digest(values: IndexedValues) -> bytes:
    """Equal for entities with equal index rows, so that rewriting one need not touch its rows."""
    if not values:
        return b""
    hashed = blake2b(digest_size=16)
    for path in sorted(values):
        hashed.update(b"%d:" % len(path))
        hashed.update(path.encode())
        for value in values[path]:
            hashed.update(b"%d:" % len(value))
            hashed.update(value)
    return hashed.digest()


def _collect(entity: Message, prefix: str, found: dict[str, set[bytes]]) -> None:
    for name, value in entity.properties.items():
        if value.exclude_from_indexes:
            continue
        path = prefix + name
        kind = value.WhichOneof("value_type")
        if kind == "array_value":
            for element in value.array_value.values:
                if not element.exclude_from_indexes:
                    _collect_one(element, path, found)
        elif kind is not None:
            _collect_one(value, path, found)


def _collect_one(value: Message, path: str, found: dict[str, set[bytes]]) -> None:
    encoded = encode_value(value)
    if encoded is not None:
        if path in found:
            found[path].add(encoded)
        else:
            found[path] = {encoded}
    elif value.HasField("entity_value"):
        _collect(value.entity_value, path + ".", found)
