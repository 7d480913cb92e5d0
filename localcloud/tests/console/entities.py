"""Entities to look at: every type that Datastore has, and any value that may be stored."""

from __future__ import annotations

import struct
from typing import Any

from hypothesis import strategies as st
from localcloud.console.keys import Database
from localcloud.datastore.messages import Entity, Key, Value

_NAMES = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12).filter(
    lambda name: not (name.startswith("__") and name.endswith("__"))
)
_TEXTS = st.one_of(
    st.text(st.characters(exclude_categories=["Cs"]), max_size=30),
    st.sampled_from(["", "\n", "\r\n", "a\r", " x ", "\0", "null", '"', "<b>", "\u2028", "\ufeff"]),
)
_DOUBLES = st.one_of(
    st.floats(),
    st.integers(0, (1 << 64) - 1).map(lambda bits: struct.unpack(">d", struct.pack(">Q", bits))[0]),
)


def key(where: Database, *path: str | int) -> Any:
    """`key(where, "Kind", 5, "Kind", "name")`; without a last identifier it is incomplete."""
    message = Key()
    where.partition(message.partition_id)
    for position in range(0, len(path), 2):
        element = message.path.add(kind=path[position])
        for identifier in path[position + 1 : position + 2]:
            if isinstance(identifier, int):
                element.id = identifier
            else:
                element.name = identifier
    return message


def entity(where: Database, *path: str | int, **properties: Any) -> Any:
    """An entity whose properties are ints, texts, or Values."""
    message = Entity(key=key(where, *path))
    for name, value in properties.items():
        if isinstance(value, str):
            value = Value(string_value=value)
        elif isinstance(value, int):
            value = Value(integer_value=value)
        message.properties[name].CopyFrom(value)
    return message


@st.composite
def keys(draw: st.DrawFn) -> Any:
    """Any key that may stand in a value."""
    identifiers = st.one_of(st.integers(-(1 << 63), (1 << 63) - 1).filter(bool), _NAMES)
    path = [
        part
        for kind, each in draw(st.lists(st.tuples(_NAMES, identifiers), min_size=1, max_size=3))
        for part in (kind, each)
    ]
    database = Database(
        draw(st.sampled_from(["p", "other-project", "a.com:x"])),
        draw(st.sampled_from(["", "db"])),
        draw(st.sampled_from(["", "eu", "n_1.x-"])),
    )
    return key(database, *path)


@st.composite
def _timestamps(draw: st.DrawFn) -> Any:
    value = Value()
    value.timestamp_value.seconds = draw(st.integers(-62_135_596_800, 253_402_300_799))
    value.timestamp_value.nanos = draw(st.integers(0, 999_999)) * 1000
    return value


@st.composite
def _points(draw: st.DrawFn) -> Any:
    value = Value()
    value.geo_point_value.latitude = draw(st.floats(-90, 90))
    value.geo_point_value.longitude = draw(st.floats(-180, 180))
    return value


_SIMPLE = st.one_of(
    st.just(Value(null_value=0)),
    st.booleans().map(lambda each: Value(boolean_value=each)),
    st.integers(-(1 << 63), (1 << 63) - 1).map(lambda each: Value(integer_value=each)),
    _DOUBLES.map(lambda each: Value(double_value=each)),
    _timestamps(),
    _points(),
    keys().map(lambda each: Value(key_value=each)),
    _TEXTS.map(lambda each: Value(string_value=each)),
    st.binary(max_size=40).map(lambda each: Value(blob_value=each)),
)


@st.composite
def _flagged(draw: st.DrawFn, of: st.SearchStrategy[Any]) -> Any:
    value = Value()
    value.CopyFrom(draw(of))
    value.exclude_from_indexes = draw(st.booleans())
    value.meaning = draw(st.sampled_from([0, 0, 9, 15, 20]))
    return value


def _nested(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    lists = st.lists(_flagged(inner), max_size=3)
    maps = st.dictionaries(_NAMES, _flagged(inner), max_size=2)
    return st.one_of(
        lists.map(_array), st.tuples(maps, st.none() | keys()).map(lambda each: _embedded(*each))
    )


def _array(values: list[Any]) -> Any:
    value = Value()
    value.array_value.SetInParent()
    value.array_value.values.extend(values)
    return value


def _embedded(properties: dict[str, Any], its_key: Any) -> Any:
    value = Value()
    value.entity_value.SetInParent()
    if its_key is not None:
        value.entity_value.key.CopyFrom(its_key)
    for name, each in properties.items():
        value.entity_value.properties[name].CopyFrom(each)
    return value


values = _flagged(st.recursive(_SIMPLE, _nested, max_leaves=4))
"""Any value, with any flag and meaning."""

properties = st.dictionaries(_NAMES, values, min_size=1, max_size=3)
"""The properties of an entity."""


def data_of(message: Any) -> bytes:
    """The message's bytes, the same for equal messages."""
    found: bytes = message.SerializeToString(deterministic=True)
    return found
