"""What is shown of a value parses back to exactly that value."""

from __future__ import annotations

import struct
from typing import Any

import pytest
from hypothesis import given
from localcloud.console.errors import Problem
from localcloud.console.typed_json import entity_json, read_entity, read_value, value_json
from localcloud.console.value_text import AS_JSON_STRING, TypedText, guessed_value, parse_value, typed_text
from localcloud.datastore.messages import Entity, Value

from tests.console.entities import data_of, properties, values


@given(values)
def test_any_value_survives_its_text(value: Any) -> None:
    bare = Value()
    bare.CopyFrom(value)
    bare.ClearField("exclude_from_indexes")
    bare.ClearField("meaning")

    shown = typed_text(value)

    assert data_of(parse_value(shown)) == data_of(bare)
    assert "\r" not in shown.text  # no text field of a form returns it


@given(values)
def test_any_value_survives_json_with_its_flag_and_meaning(value: Any) -> None:
    assert data_of(read_value(value_json(value))) == data_of(value)


@given(properties)
def test_any_entity_survives_json(given_properties: dict[str, Any]) -> None:
    entity = Entity()
    for name, value in given_properties.items():
        entity.properties[name].CopyFrom(value)

    assert data_of(read_entity(entity_json(entity))) == data_of(entity)


def test_what_has_no_text_of_its_own_is_kept_as_its_message() -> None:
    too_late = Value()
    too_late.timestamp_value.seconds = 1 << 60
    for value in (Value(), too_late):
        shown = typed_text(value)

        assert shown.type == "protobuf"
        assert data_of(parse_value(shown)) == data_of(value)


@pytest.mark.parametrize(
    ("value", "type_name", "text"),
    [
        (Value(integer_value=(1 << 63) - 1), "integer", "9223372036854775807"),
        (Value(double_value=-0.0), "double", "-0.0"),
        (Value(double_value=1e16), "double", "1e+16"),
        (Value(double_value=float("nan")), "double", "NaN"),
        (
            Value(double_value=struct.unpack(">d", b"\xff\xf8" + bytes(6))[0]),
            "double",
            "NaN:fff8000000000000",
        ),
        (Value(string_value=""), "string", ""),
        (Value(string_value="two\nlines"), "string", "two\nlines"),
        (Value(string_value="a\r\nb"), AS_JSON_STRING, '"a\\r\\nb"'),
        (Value(blob_value=b"\0\xff"), "blob", "AP8="),
        (Value(timestamp_value={"seconds": 1, "nanos": 1000}), "timestamp", "1970-01-01T00:00:01.000001Z"),
        (Value(timestamp_value={"seconds": -62135596800}), "timestamp", "0001-01-01T00:00:00Z"),
        (Value(geo_point_value={"latitude": -0.5, "longitude": 13.25}), "geo point", "-0.5, 13.25"),
        (Value(null_value=0), "null", ""),
    ],
)
def test_texts_are_what_a_person_would_write(value: Any, type_name: str, text: str) -> None:
    assert typed_text(value) == TypedText(type_name, text)


@pytest.mark.parametrize(
    ("type_name", "text", "said"),
    [
        ("integer", "9223372036854775808", "not an integer"),
        ("integer", "1.5", "not an integer"),
        ("integer", "", "not an integer"),
        ("double", "1e999", "not a double"),
        ("double", "one", "not a double"),
        ("boolean", "yes", "true or false"),
        ("timestamp", "2026-02-30T00:00:00Z", "not a time"),
        ("timestamp", "yesterday", "not a time"),
        ("blob", "not base64!", "base64"),
        ("geo point", "52.5", "latitude, longitude"),
        ("key", "KEY(Kind, 5", "not a key"),
        ("array", '[{"integerValue": "x"}]', "array[0].integerValue"),
        ("array", "{}", "list"),
        ("array", "[", "not JSON"),
        ("entity", '{"properties": {"a": {"b": 1}}}', 'entity.properties["a"]'),
        ("null", "something", "null"),
        ("colour", "red", "unknown"),
    ],
)
def test_bad_text_is_refused_with_what_was_expected(type_name: str, text: str, said: str) -> None:
    with pytest.raises(Problem, match=said.replace("[", r"\[").replace("]", r"\]")):
        parse_value(TypedText(type_name, text))


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("5", Value(integer_value=5)),
        ("5.0", Value(double_value=5)),
        ('"5"', Value(string_value="5")),
        ("true", Value(boolean_value=True)),
        ("null", Value(null_value=0)),
        ("Ada Lovelace", Value(string_value="Ada Lovelace")),
        ("2026-05-01T00:00:00Z", Value(timestamp_value={"seconds": 1777593600})),
    ],
)
def test_a_filters_value_is_what_it_looks_like(text: str, value: Any) -> None:
    assert guessed_value(text) == value
