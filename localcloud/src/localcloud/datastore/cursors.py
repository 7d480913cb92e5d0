"""Query cursors: opaque bytes that name a position between two results.

A cursor holds the sort columns' values and the key of the result before it, so that a query goes on where
it stopped whatever was written in between. The cursor at the end of an unfinished batch holds the batch's
version, too: going on with it reads the same state of the database.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from hashlib import blake2b

from localcloud.datastore.errors import Refused, invalid
from localcloud.datastore.query_plan import Plan

_VERSION_AND_SIGNATURE = struct.Struct(">BQ4s")
_LENGTH = struct.Struct(">I")
_FORMAT = 1


@dataclass(frozen=True, slots=True)
class Cursor:
    """After the result with these column values and this key; `key` is None at the very beginning."""

    values: tuple[bytes, ...] = ()
    key: bytes | None = None
    snapshot: int = 0
    """The version to go on with; 0: the latest."""


def signature(plan: Plan) -> bytes:
    """Equal for queries whose results are sorted alike: a cursor is good for no other."""
    hashed = blake2b(digest_size=4)
    hashed.update(plan.partition.prefix)
    hashed.update(repr((plan.kind, plan.columns, plan.key_position, plan.is_key_descending)).encode())
    return hashed.digest()


def encode_cursor(cursor: Cursor, signed: bytes) -> bytes:
    """The bytes for a client."""
    parts = [_VERSION_AND_SIGNATURE.pack(_FORMAT, cursor.snapshot, signed)]
    if cursor.key is not None:
        for each in (cursor.key[4:], *cursor.values):
            parts.append(_LENGTH.pack(len(each)))
            parts.append(each)
    return b"".join(parts)


def decode_cursor(data: bytes, plan: Plan) -> Cursor:
    """The cursor that a client gave back. Raises Refused for one of another query, or for nonsense."""
    try:
        format_, snapshot, signed = _VERSION_AND_SIGNATURE.unpack_from(data)
    except struct.error:
        raise _refusal() from None
    if format_ != _FORMAT or signed != signature(plan):
        raise _refusal()
    parts = []
    position = _VERSION_AND_SIGNATURE.size
    while position < len(data):
        if position + 4 > len(data):
            raise _refusal()
        (length,) = _LENGTH.unpack_from(data, position)
        position += 4 + length
        if position > len(data):
            raise _refusal()
        parts.append(bytes(data[position - length : position]))
    if not parts:
        return Cursor(snapshot=snapshot)
    if len(parts) != 1 + len(plan.columns):
        raise _refusal()
    return Cursor(tuple(parts[1:]), plan.partition.prefix + parts[0], snapshot)


def _refusal() -> Refused:
    return invalid("The cursor is not valid for this query.")
