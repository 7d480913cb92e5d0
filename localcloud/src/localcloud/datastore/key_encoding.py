"""Keys as bytes whose order is the order of keys.

A path is written element by element: the kind, then the id or the name. So an ancestor's bytes are a prefix
of its descendants', and everything below a key lies in one range (`subtree`). In the database a key is
preceded by the number of its partition (project, database and namespace), four bytes.

Real service: keys are ordered element by element; kind first, ids before names (documentation, "Queries").
"""

from __future__ import annotations

import struct
from typing import TypeAlias

from localcloud.datastore.messages import Key, Message

Element: TypeAlias = tuple[str, int | str | None]
"""A kind with an id, a name, or, last in an incomplete key, nothing."""

PARTITION_BYTES = 4

_END = b"\x00\x01"
_ESCAPED_ZERO = b"\x00\xff"
_ID = b"\x01"
_NAME = b"\x02"
_SIGN = 1 << 63
_pack_id = struct.Struct(">Q").pack
_unpack_id = struct.Struct(">Q").unpack_from


def elements_of(key: Message) -> list[Element]:
    """The elements of a Key message."""
    return [
        (
            element.kind,
            element.id if element.HasField("id") else element.name if element.HasField("name") else None,
        )
        for element in key.path
    ]


def encode_path(elements: list[Element]) -> bytes:
    """Bytes that sort as the paths do. An incomplete last element ends with its kind."""
    parts = []
    for kind, identifier in elements:
        parts.append(kind.encode().replace(b"\x00", _ESCAPED_ZERO))
        parts.append(_END)
        if isinstance(identifier, int):
            parts.append(_ID)
            parts.append(_pack_id(identifier + _SIGN))
        elif identifier is not None:
            parts.append(_NAME)
            parts.append(identifier.encode().replace(b"\x00", _ESCAPED_ZERO))
            parts.append(_END)
    return b"".join(parts)


def decode_path(data: bytes, start: int = 0) -> list[Element]:
    """The elements that `encode_path` wrote, from `start` to the end."""
    elements: list[Element] = []
    position = start
    while position < len(data):
        end = data.index(_END, position)
        kind = _text(data[position:end])
        position = end + 2
        mark = data[position : position + 1]
        if mark == _ID:
            elements.append((kind, _unpack_id(data, position + 1)[0] - _SIGN))
            position += 9
        elif mark == _NAME:
            end = data.index(_END, position + 1)
            elements.append((kind, _text(data[position + 1 : end])))
            position = end + 2
        else:
            elements.append((kind, None))
            break
    return elements


def subtree(encoded_key: bytes) -> tuple[bytes, bytes]:
    """The range, from and below, that holds the key and all its descendants.

    A descendant goes on with its kind, in UTF-8, where no byte is 255.
    """
    return encoded_key, encoded_key + b"\xff"


def key_message(elements: list[Element], project: str, database: str, namespace: str) -> Message:
    """The Key message of a path in a partition."""
    key = Key()
    partition = key.partition_id
    partition.project_id = project
    partition.database_id = database
    partition.namespace_id = namespace
    for kind, identifier in elements:
        element = key.path.add()
        element.kind = kind
        if isinstance(identifier, int):
            element.id = identifier
        elif identifier is not None:
            element.name = identifier
    return key


def _text(data: bytes) -> str:
    return data.replace(_ESCAPED_ZERO, b"\x00").decode()


def with_id(incomplete: bytes, identifier: int) -> bytes:
    """An incomplete encoded path, completed with an id."""
    return incomplete + _ID + _pack_id(identifier + _SIGN)
