"""Property values as bytes whose order is the order of values, across types.

Real service: null < integers and timestamps (a timestamp sorts as its microseconds) < booleans < byte and
text strings (by their bytes) < doubles (NaN last) < geo points < keys; a filter compares across types by the
same order. An integer equals the timestamp of as many microseconds, a text string the byte string of its
UTF-8 bytes, but never a double; -0.0 sorts before 0.0 and does not equal it. (Documentation, "Value type
ordering"; the details observed on the Firestore emulator in Datastore mode.)
"""

from __future__ import annotations

import math
import struct

from localcloud.datastore.key_encoding import decode_path, elements_of, encode_path, key_message
from localcloud.datastore.messages import Message, Value, timestamp_us

_NULL = b"\x05"
_INTEGER = 0x10
_FALSE = b"\x20"
_TRUE = b"\x21"
_STRING = 0x30
_DOUBLE = 0x40
_GEO_POINT = 0x50
_KEY = 0x60

NULL = _NULL
LOWEST = b""
HIGHEST = b"\xff"
"""Below and above every encoded value."""

INDEX_VALUE_MEANING = 18
"""Marks a value that was read from an index (Value.meaning)."""

_SIGN = 1 << 63
_pack = struct.Struct(">BQ").pack
_unpack = struct.Struct(">Q").unpack_from
_double_bits = struct.Struct(">d").pack
_double_from_bits = struct.Struct(">d").unpack
_NAN = math.nan
# The end of the path of a key value: sorts before any further element.
_PATH_END = b"\x00\x00"


def encode_value(value: Message) -> bytes | None:
    """Bytes that sort as the values do; None for what is in no index: arrays, entities, nothing."""
    kind = value.WhichOneof("value_type")
    if kind == "string_value":
        text: str = value.string_value
        return b"\x30" + text.encode()
    if kind == "integer_value":
        return _pack(_INTEGER, value.integer_value + _SIGN)
    if kind == "boolean_value":
        return _TRUE if value.boolean_value else _FALSE
    if kind == "timestamp_value":
        return _pack(_INTEGER, timestamp_us(value.timestamp_value) + _SIGN)
    if kind == "double_value":
        return _pack(_DOUBLE, _ordered_bits(value.double_value))
    if kind == "null_value":
        return _NULL
    if kind == "blob_value":
        return b"\x30" + bytes(value.blob_value)
    if kind == "key_value":
        return _encode_key(value.key_value)
    if kind == "geo_point_value":
        point = value.geo_point_value
        latitude = _pack(_GEO_POINT, _ordered_bits(point.latitude))
        return latitude + _ordered_bits(point.longitude).to_bytes(8, "big")
    return None


def decode_value(data: bytes) -> Message:
    """The value as an index knows it: a timestamp has become an integer, a text in bytes a text."""
    value = Value(meaning=INDEX_VALUE_MEANING)
    mark = data[0]
    if mark == _INTEGER:
        value.integer_value = _unpack(data, 1)[0] - _SIGN
    elif mark == _STRING:
        try:
            value.string_value = data[1:].decode()
        except UnicodeDecodeError:
            value.blob_value = data[1:]
    elif mark == _DOUBLE:
        value.double_value = _double(data, 1)
    elif data == _NULL:
        value.null_value = 0
    elif data in (_FALSE, _TRUE):
        value.boolean_value = data == _TRUE
    elif mark == _GEO_POINT:
        value.geo_point_value.latitude = _double(data, 1)
        value.geo_point_value.longitude = _double(data, 9)
    else:
        value.key_value.CopyFrom(_decode_key(data))
    return value


def number_of(data: bytes) -> int | float | None:
    """The number in an encoded value; None if it holds something else."""
    if data[0] == _INTEGER:
        return int(_unpack(data, 1)[0]) - _SIGN
    if data[0] == _DOUBLE:
        return _double(data, 1)
    return None


def representation_of(mark: int) -> str:
    """What `__property__` calls the values whose encoding begins with this byte.

    Real service: property_representation lists INT64, BOOLEAN, STRING, DOUBLE, POINT, REFERENCE, NULL.
    """
    return {
        _NULL[0]: "NULL",
        _INTEGER: "INT64",
        _FALSE[0]: "BOOLEAN",
        _TRUE[0]: "BOOLEAN",
        _STRING: "STRING",
        _DOUBLE: "DOUBLE",
        _GEO_POINT: "POINT",
    }.get(mark, "REFERENCE")


def _ordered_bits(number: float) -> int:
    """The bits of a double as an unsigned whole number in the order of doubles, NaN last."""
    bits = int.from_bytes(_double_bits(_NAN if math.isnan(number) else number), "big")
    return bits ^ 0xFFFF_FFFF_FFFF_FFFF if bits & _SIGN else bits | _SIGN


def _double(data: bytes, start: int) -> float:
    ordered = _unpack(data, start)[0]
    bits = ordered & ~_SIGN if ordered & _SIGN else ordered ^ 0xFFFF_FFFF_FFFF_FFFF
    return float(_double_from_bits(bits.to_bytes(8, "big"))[0])


def _encode_key(key: Message) -> bytes:
    partition = key.partition_id
    where = "\x00".join((partition.project_id, partition.database_id, partition.namespace_id))
    return b"\x60" + encode_path(elements_of(key)) + _PATH_END + where.encode()


def _decode_key(data: bytes) -> Message:
    # A path element never begins with two zero bytes, nor does anything else contain them.
    end = _end_of_path(data)
    project, database, namespace = data[end + 2 :].decode().split("\x00")
    return key_message(decode_path(data[:end], 1), project, database, namespace)


def _end_of_path(data: bytes) -> int:
    """Where the path ends: ids may contain any bytes, so the elements are walked."""
    position = 1
    while data[position : position + 2] != _PATH_END:
        position = data.index(b"\x00\x01", position) + 2
        if data[position] == 1:
            position += 9
        elif data[position] == 2:
            position = data.index(b"\x00\x01", position + 1) + 2
    return position
