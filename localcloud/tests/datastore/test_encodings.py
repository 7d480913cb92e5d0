"""Keys and values as bytes: the order of the bytes is the documented order."""

from __future__ import annotations

import math
from datetime import datetime
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from localcloud.datastore.key_encoding import Element, decode_path, encode_path, subtree
from localcloud.datastore.value_encoding import HIGHEST, LOWEST, decode_value, encode_value, number_of

from tests.datastore.api import key, plain, value

kinds = st.text(min_size=1, max_size=4)
identifiers = st.one_of(st.integers(-(2**63), 2**63 - 1), st.text(min_size=1, max_size=4))
paths = st.lists(st.tuples(kinds, identifiers), min_size=1, max_size=3)


def path_order(path: list[Element]) -> list[Any]:
    return [
        (kind.encode(), isinstance(id_, str), id_.encode() if isinstance(id_, str) else id_)
        for kind, id_ in path
    ]


@given(paths, paths)
def test_encoded_paths_sort_as_their_elements_do(left: list[Element], right: list[Element]) -> None:
    assert (encode_path(left) < encode_path(right)) == (path_order(left) < path_order(right))


@given(paths)
def test_a_path_survives_encoding(path: list[Element]) -> None:
    assert decode_path(encode_path(path)) == path


@given(paths, paths)
def test_a_subtree_holds_a_key_and_its_descendants_only(left: list[Element], right: list[Element]) -> None:
    low, high = subtree(encode_path(left))
    assert (low <= encode_path(right) < high) == (right[: len(left)] == left)


IN_ORDER: list[Any] = [
    None,
    -(2**63),
    -1,
    0,
    datetime(1970, 1, 1, 0, 0, 1),
    2**63 - 1,
    False,
    True,
    "",
    b"\x00",
    "a",
    "a\x00",
    "ab",
    "\u00e9",
    "\U0001f600",
    b"\xff",
    -math.inf,
    -1.5,
    -0.0,
    0.0,
    1.5,
    math.inf,
    math.nan,
    key("A", 1),
    key("A", 1, "B", 1),
    key("A", 2),
    key("A", "a"),
    key("B", 1),
]


def encoded(content: Any) -> bytes:
    found = encode_value(value(content))
    assert found is not None
    return found


@pytest.mark.parametrize(("low", "high"), list(pairwise(IN_ORDER)))
def test_values_sort_across_types_as_documented(low: Any, high: Any) -> None:
    assert LOWEST < encoded(low) < encoded(high) < HIGHEST


def test_geo_points_sort_by_latitude_then_longitude_before_keys() -> None:
    def point(latitude: float, longitude: float) -> bytes:
        message = value(1)
        message.geo_point_value.latitude = latitude
        message.geo_point_value.longitude = longitude
        found = encode_value(message)
        assert found is not None
        return found

    assert encoded(math.nan) < point(-1, 5) < point(-1, 6) < point(2, -3) < encoded(key("A", 1))


def test_a_timestamp_equals_the_integer_of_its_microseconds_and_text_equals_its_bytes() -> None:
    assert encoded(datetime(1970, 1, 1, 0, 0, 1)) == encoded(1_000_000)
    assert encoded("\u00e9") == encoded("\u00e9".encode())
    assert encoded(7) != encoded(7.0)


@given(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(-(2**63), 2**63 - 1),
        st.floats(allow_nan=False),
        st.text(max_size=9),
    )
)
def test_a_value_survives_encoding(content: Any) -> None:
    found = decode_value(encoded(content))
    assert plain(found) == content
    assert found.meaning == 18


@given(st.lists(st.tuples(st.text(min_size=1, max_size=3), identifiers), min_size=1, max_size=2))
def test_a_key_value_survives_encoding(path: list[tuple[str, int | str]]) -> None:
    content = key(*(part for element in path for part in element), namespace="n")
    assert decode_value(encoded(content)).key_value == content


@given(st.floats(allow_nan=False), st.floats(allow_nan=False))
def test_doubles_sort_by_their_amount(left: float, right: float) -> None:
    if left != right:
        assert (encoded(left) < encoded(right)) == (left < right)


def test_only_numbers_are_numbers() -> None:
    assert [number_of(encoded(each)) for each in (3, -2.5, "3", None, True)] == [3, -2.5, None, None, None]


def test_entities_and_arrays_are_in_no_index() -> None:
    assert encode_value(value({"a": 1})) is None
    assert encode_value(value([1])) is None
