"""Responses put together from bytes, without parsing the entities that they carry.

Stored entities are messages already; between tags and lengths they go out as they are.
"""

from __future__ import annotations

from functools import lru_cache

from localcloud.datastore.clock import SECOND_US


def varint(number: int) -> bytes:
    """A whole number from 0 on, in the base-128 encoding of protocol buffers."""
    if number < 128:
        return bytes((number,))
    parts = bytearray()
    while number > 127:
        parts.append(number & 127 | 128)
        number >>= 7
    parts.append(number)
    return bytes(parts)


def field(number: int, content: bytes) -> bytes:
    """A field that holds a message, a string or bytes. Numbers up to 15."""
    return bytes((number << 3 | 2,)) + varint(len(content)) + content


def number_field(number: int, value: int) -> bytes:
    """A field that holds a whole number from 0 on. Numbers up to 15."""
    return bytes((number << 3,)) + varint(value)


@lru_cache(maxsize=1024)
def timestamp(time_us: int) -> bytes:
    """A Timestamp from 1970 on."""
    seconds, micros = divmod(time_us, SECOND_US)
    return number_field(1, seconds) + number_field(2, micros * 1000)


def entity_result(entity: bytes, version: int, created: int, cursor: bytes = b"") -> bytes:
    """An EntityResult of a whole entity: entity 1, cursor 3, version 4, update_time 5, create_time 6."""
    updated = timestamp(version)
    parts = [field(1, entity)]
    if cursor:
        parts.append(field(3, cursor))
    parts.append(number_field(4, version))
    parts.append(field(5, updated))
    parts.append(field(6, updated if created == version else timestamp(created)))
    return b"".join(parts)


def key_result(key: bytes, version: int = 0, cursor: bytes = b"") -> bytes:
    """An EntityResult of a key alone; `key` is a Key message. `version` 0 means none."""
    parts = [field(1, field(1, key))]
    if cursor:
        parts.append(field(3, cursor))
    if version:
        parts.append(number_field(4, version))
    return b"".join(parts)
