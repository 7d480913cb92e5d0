"""A property's value as a type and a text that parses back to exactly the same value.

The text is of the value alone. Whether it is indexed and its `meaning` are kept beside it. A value that its
type's text can't tell exactly (a string with a carriage return, which no form of a browser returns) is given
in another spelling: as a JSON string, and if need be as the protobuf message in base64.
"""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from google.protobuf.message import DecodeError

from localcloud.console.doubles import double_text, parse_double
from localcloud.console.errors import Problem
from localcloud.console.key_literals import key_literal, parse_key_literal, path_text
from localcloud.console.times import parse_timestamp, timestamp_text
from localcloud.console.typed_json import (
    array_json,
    base64_text,
    entity_json,
    parse_base64,
    parse_integer,
    parse_json,
    read_array,
    read_entity,
)
from localcloud.datastore.messages import Value

# What a form's text field changes: line ends; and control characters that nobody sees.
_UNSAFE = re.compile("[\x00-\x08\x0b-\x1f]")
AS_JSON_STRING = "string, escaped"
AS_PROTOBUF = "protobuf"


@dataclass(frozen=True, slots=True)
class TypedText:
    """What stands in the form: `type` is one of TYPES."""

    type: str
    text: str


@dataclass(frozen=True, slots=True)
class _Type:
    field: str
    write: Callable[[Any], str]
    read: Callable[[str, Any], None]
    example: str


def _read_null(text: str, value: Any) -> None:
    if text.strip() not in ("", "null"):
        raise Problem(f"{text!r} with type null. Expected no text, or another type.")
    value.null_value = 0


def _read_boolean(text: str, value: Any) -> None:
    word = text.strip().lower()
    if word not in ("true", "false"):
        raise Problem(f"{text!r} is not a boolean. Expected true or false.")
    value.boolean_value = word == "true"


def _read_integer(text: str, value: Any) -> None:
    value.integer_value = parse_integer(text)


def _read_double(text: str, value: Any) -> None:
    value.double_value = parse_double(text)


def _read_timestamp(text: str, value: Any) -> None:
    value.timestamp_value.SetInParent()
    parse_timestamp(text, value.timestamp_value)


def _read_string(text: str, value: Any) -> None:
    value.string_value = text


def _read_json_string(text: str, value: Any) -> None:
    found = parse_json(text)
    if not isinstance(found, str):
        raise Problem('Expected text in double quotes, with escapes as in JSON: "a\\r\\nb".')
    try:
        value.string_value = found
    except (ValueError, UnicodeEncodeError):
        raise Problem("The text holds half of a surrogate pair. Expected whole characters.") from None


def _read_blob(text: str, value: Any) -> None:
    value.blob_value = parse_base64(text)


def _read_key(text: str, value: Any) -> None:
    value.key_value.CopyFrom(parse_key_literal(text))


def _read_geo_point(text: str, value: Any) -> None:
    parts = text.split(",")
    if len(parts) != 2:
        raise Problem(f"{text!r} is not a point. Expected latitude, longitude: 52.5, 13.4.")
    value.geo_point_value.latitude, value.geo_point_value.longitude = map(parse_double, parts)


def _read_array(text: str, value: Any) -> None:
    read_array(parse_json(text), "array", value)


def _read_entity(text: str, value: Any) -> None:
    value.entity_value.CopyFrom(read_entity(parse_json(text)))


def _read_protobuf(text: str, value: Any) -> None:
    try:
        value.ParseFromString(parse_base64(text))
    except DecodeError:
        raise Problem("These bytes are not a google.datastore.v1.Value.") from None


def _indented(found: Any) -> str:
    return json.dumps(found, indent=1, ensure_ascii=False)


TYPES: Mapping[str, _Type] = {
    "string": _Type("string_value", str, _read_string, "any text"),
    "integer": _Type("integer_value", str, _read_integer, "-5"),
    "double": _Type("double_value", double_text, _read_double, "1.5"),
    "boolean": _Type("boolean_value", lambda value: "true" if value else "false", _read_boolean, "true"),
    "timestamp": _Type("timestamp_value", timestamp_text, _read_timestamp, "2026-05-01T12:00:30.123456Z"),
    "key": _Type("key_value", key_literal, _read_key, "KEY(Kind, 5)"),
    "null": _Type("null_value", lambda _: "", _read_null, "no text"),
    "blob": _Type("blob_value", base64_text, _read_blob, "base64"),
    "geo point": _Type(
        "geo_point_value",
        lambda point: f"{double_text(point.latitude)}, {double_text(point.longitude)}",
        _read_geo_point,
        "52.5, 13.4",
    ),
    "array": _Type(
        "array_value", lambda array: _indented(array_json(array)), _read_array, '[{"integerValue": "5"}]'
    ),
    "entity": _Type(
        "entity_value",
        lambda entity: _indented(entity_json(entity)),
        _read_entity,
        '{"properties": {"n": {"integerValue": "5"}}}',
    ),
    AS_JSON_STRING: _Type("string_value", json.dumps, _read_json_string, '"two\\r\\nlines"'),
    AS_PROTOBUF: _Type("", base64_text, _read_protobuf, "a Value in base64"),
}
_OF_FIELD = {each.field: name for name, each in TYPES.items() if name not in (AS_JSON_STRING, AS_PROTOBUF)}


def typed_text(value: Any) -> TypedText:
    """How the value stands in a form; `parse_value` makes the same of it, to the byte."""
    bare = Value()
    bare.CopyFrom(value)
    bare.ClearField("exclude_from_indexes")
    bare.ClearField("meaning")
    kind = bare.WhichOneof("value_type")
    names = [_OF_FIELD[kind], AS_JSON_STRING] if kind == "string_value" else [_OF_FIELD.get(kind, "")]
    for name in filter(None, names):
        try:
            text = TYPES[name].write(getattr(bare, kind))
            if not _UNSAFE.search(text) and _same(parse_value(TypedText(name, text)), bare):
                return TypedText(name, text)
        except (Problem, OverflowError, KeyError):
            continue
    return TypedText(AS_PROTOBUF, base64_text(bare.SerializeToString()))


def parse_value(given: TypedText) -> Any:
    """The value, indexed and without a meaning. Raises Problem."""
    if given.type not in TYPES:
        raise Problem(f"The type {given.type!r} is unknown. Expected one of {', '.join(TYPES)}.")
    value = Value()
    TYPES[given.type].read(given.text, value)
    return value


def short_text(value: Any, most: int = 60) -> str:
    """For a table: the beginning of the text, on one line."""
    kind = value.WhichOneof("value_type")
    if kind == "string_value":
        text = value.string_value[: most + 1]
    elif kind == "blob_value":
        return f"{len(value.blob_value):,} bytes"
    elif kind == "null_value":
        return "null"
    elif kind == "key_value":
        text = path_text(value.key_value)
    elif kind == "array_value":
        values = value.array_value.values
        text = "[" + ", ".join(short_text(each, 20) for each in values[:8])
        text += ", ...]" if len(values) > 8 else "]"
    elif kind == "entity_value":
        text = "{" + ", ".join(sorted(value.entity_value.properties)[:8]) + "}"
    else:
        text = typed_text(value).text
    text = " ".join(text.split("\n"))
    return text if len(text) <= most else f"{text[:most]}…"


def type_name(value: Any) -> str:
    """The name of the value's type, whatever spelling its text needs."""
    return _OF_FIELD.get(value.WhichOneof("value_type"), AS_PROTOBUF)


def guessed_value(text: str) -> Any:
    """The value that somebody means who types `text` without a type: a filter's, for example.

    Quotes make a string of anything; what is nothing else is a string as it stands.
    """
    bare = text.strip()
    if len(bare) >= 2 and bare[0] == bare[-1] and bare[0] in "\"'":
        with contextlib.suppress(Problem):
            return parse_value(TypedText(AS_JSON_STRING, bare))
        return Value(string_value=bare[1:-1])
    for name in ("integer", "double", "boolean", "timestamp", "key"):
        if name == "key" and not bare.upper().startswith("KEY("):
            continue
        try:
            return parse_value(TypedText(name, bare))
        except Problem:
            continue
    if bare == "null":
        return Value(null_value=0)
    return Value(string_value=text)


def _same(one: Any, other: Any) -> bool:
    return bool(_bytes(one) == _bytes(other))


def _bytes(message: Any) -> bytes:
    found: bytes = message.SerializeToString(deterministic=True)
    return found
