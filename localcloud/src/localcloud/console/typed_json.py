"""Keys, values and entities as JSON that keeps every type: the mapping of Datastore's own REST API.

Written here and not by protobuf's JSON mapping, which turns -0.0 into 0; so a mistake also names its place.
Properties come in the order of their names: the text of an entity is always the same.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Mapping
from typing import Any

from localcloud.console.doubles import double_text, parse_double
from localcloud.console.errors import Problem
from localcloud.console.times import parse_timestamp, timestamp_text
from localcloud.datastore.messages import Entity, Key, Value

Json = Any
_INTEGER = re.compile(r"[+-]?\d{1,20}")
MAX_INTEGER = (1 << 63) - 1
MIN_INTEGER = -(1 << 63)
_PARTITION = {"projectId": "project_id", "databaseId": "database_id", "namespaceId": "namespace_id"}
_MAX_DEPTH = 50


def key_json(key: Any) -> Json:
    """`{"partitionId": {...}, "path": [{"kind": "Counter", "id": "5"}]}`: an id is text, a name is a name."""
    path = []
    for element in key.path:
        step = {"kind": element.kind}
        if element.WhichOneof("id_type") == "id":
            step["id"] = str(element.id)
        elif element.WhichOneof("id_type") == "name":
            step["name"] = element.name
        path.append(step)
    partition = {name: value for name, field in _PARTITION.items() if (value := _partition(key, field))}
    return {"partitionId": partition, "path": path} if key.HasField("partition_id") else {"path": path}


def entity_json(entity: Any) -> Json:
    """`{"key": {...}, "properties": {name: value}}`."""
    found: dict[str, Json] = {"key": key_json(entity.key)} if entity.HasField("key") else {}
    return {
        **found,
        "properties": {name: value_json(entity.properties[name]) for name in sorted(entity.properties)},
    }


def value_json(value: Any) -> Json:
    """`{"integerValue": "5"}`, with `excludeFromIndexes` and `meaning` where they are set.

    Raises OverflowError for a timestamp out of range, KeyError for a value without a type.
    """
    kind = value.WhichOneof("value_type")
    found = {_NAMES[kind]: _WRITERS[kind](getattr(value, kind))}
    if value.exclude_from_indexes:
        found["excludeFromIndexes"] = True
    if value.meaning:
        found["meaning"] = value.meaning
    return found


def array_json(array: Any) -> Json:
    return [value_json(each) for each in array.values]


def parse_json(text: str) -> Json:
    """What `json` makes of the text. Raises Problem."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise Problem(f"This is not JSON: {error}.") from None


def read_entity(found: Json, where: str = "entity", depth: int = 0) -> Any:
    """The inverse of `entity_json`. Raises Problem that names the place."""
    _check_depth(where, depth)
    fields = _mapping(found, where, "key", "properties")
    entity = Entity()
    if "key" in fields:
        entity.key.CopyFrom(read_key(fields["key"], f"{where}.key"))
    properties = fields.get("properties", {})
    for name, value in _mapping(properties, f"{where}.properties").items():
        place = f"{where}.properties[{json.dumps(name)}]"
        entity.properties[_text(name, place)].CopyFrom(read_value(value, place, depth + 1))
    return entity


def read_key(found: Json, where: str = "key") -> Any:
    """The inverse of `key_json`. Raises Problem."""
    fields = _mapping(found, where, "partitionId", "path")
    key = Key()
    if "partitionId" in fields:
        key.partition_id.SetInParent()
        for name, text in _mapping(fields["partitionId"], f"{where}.partitionId", *_PARTITION).items():
            setattr(key.partition_id, _PARTITION[name], _text(text, f"{where}.partitionId.{name}"))
    path = fields.get("path")
    if not isinstance(path, list) or not path:
        raise Problem(
            f'{where}.path is {_shown(path)}. Expected a list such as [{{"kind": "Counter", "id": "5"}}].'
        )
    for number, step in enumerate(path):
        place = f"{where}.path[{number}]"
        given = _mapping(step, place, "kind", "id", "name")
        element = key.path.add(kind=_text(given.get("kind"), f"{place}.kind"))
        if "id" in given and "name" in given:
            raise Problem(f"{place} has an id and a name. Expected one of them.")
        if "id" in given:
            element.id = _integer(given["id"], f"{place}.id")
        elif "name" in given:
            element.name = _text(given["name"], f"{place}.name")
    return key


def read_value(found: Json, where: str = "value", depth: int = 0) -> Any:
    """The inverse of `value_json`. Raises Problem."""
    _check_depth(where, depth)
    fields = _mapping(found, where, *_READERS, "excludeFromIndexes", "meaning")
    types = [name for name in fields if name in _READERS]
    if len(types) != 1:
        raise Problem(f"{where} is {_shown(found)}. Expected one of {', '.join(_READERS)}.")
    value = Value()
    _READERS[types[0]](value, fields[types[0]], f"{where}.{types[0]}", depth)
    if fields.get("excludeFromIndexes") is not None:
        value.exclude_from_indexes = _boolean(fields["excludeFromIndexes"], f"{where}.excludeFromIndexes")
    if fields.get("meaning") is not None:
        meaning = _integer(fields["meaning"], f"{where}.meaning")
        if not 0 <= meaning < 1 << 31:
            raise Problem(f"{where}.meaning is {meaning}. Expected 0 to 2147483647.")
        value.meaning = meaning
    return value


def read_array(found: Json, where: str, value: Any, depth: int = 0) -> None:
    """Write a list of values into `value.array_value`. Raises Problem."""
    if not isinstance(found, list):
        raise Problem(f'{where} is {_shown(found)}. Expected a list such as [{{"integerValue": "5"}}].')
    value.array_value.SetInParent()
    for number, each in enumerate(found):
        value.array_value.values.append(read_value(each, f"{where}[{number}]", depth + 1))


def _array_value(value: Any, found: Json, where: str, depth: int) -> None:
    read_array(_mapping(found, where, "values").get("values", []), f"{where}.values", value, depth)


def _null(value: Any, found: Json, where: str, _: int) -> None:
    if found not in (None, "NULL_VALUE"):
        raise Problem(f"{where} is {_shown(found)}. Expected null.")
    value.null_value = 0


def _double(value: Any, found: Json, where: str, _: int) -> None:
    if isinstance(found, bool) or not isinstance(found, int | float | str):
        raise Problem(f"{where} is {_shown(found)}. Expected a number, or NaN, Infinity, -Infinity as text.")
    value.double_value = parse_double(found if isinstance(found, str) else repr(found))


def _timestamp(value: Any, found: Json, where: str, _: int) -> None:
    value.timestamp_value.SetInParent()
    parse_timestamp(_text(found, where), value.timestamp_value)


def _blob(value: Any, found: Json, where: str, _: int) -> None:
    value.blob_value = parse_base64(_text(found, where))


def _geo_point(value: Any, found: Json, where: str, _: int) -> None:
    fields = _mapping(found, where, "latitude", "longitude")
    value.geo_point_value.SetInParent()
    for name in fields:
        inner = Value()
        _double(inner, fields[name], f"{where}.{name}", 0)
        setattr(value.geo_point_value, name, inner.double_value)


def parse_base64(text: str) -> bytes:
    """Bytes from base64, of either alphabet; white space doesn't matter. Raises Problem."""
    compact = "".join(text.split()).replace("-", "+").replace("_", "/")
    try:
        return base64.b64decode(compact + "=" * (-len(compact) % 4), validate=True)
    except (binascii.Error, ValueError):
        raise Problem(f"{_shown(text)} is not base64 (A-Z, a-z, 0-9, + and /).") from None


def base64_text(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _double_json(value: float) -> Json:
    text = double_text(value)
    return text if text[-1].isalpha() or text.startswith("NaN") else value


_WRITERS: Mapping[str, Any] = {
    "null_value": lambda _: None,
    "boolean_value": bool,
    "integer_value": str,
    "double_value": _double_json,
    "timestamp_value": timestamp_text,
    "key_value": key_json,
    "string_value": str,
    "blob_value": base64_text,
    "geo_point_value": lambda point: {
        "latitude": _double_json(point.latitude),
        "longitude": _double_json(point.longitude),
    },
    "entity_value": entity_json,
    "array_value": lambda array: {"values": array_json(array)},
}
_NAMES = {kind: re.sub("_(.)", lambda match: match[1].upper(), kind) for kind in _WRITERS}
_READERS: Mapping[str, Any] = {
    "nullValue": _null,
    "booleanValue": lambda value, found, where, _: setattr(value, "boolean_value", _boolean(found, where)),
    "integerValue": lambda value, found, where, _: setattr(value, "integer_value", _integer(found, where)),
    "doubleValue": _double,
    "timestampValue": _timestamp,
    "keyValue": lambda value, found, where, _: value.key_value.CopyFrom(read_key(found, where)),
    "stringValue": lambda value, found, where, _: setattr(value, "string_value", _text(found, where)),
    "blobValue": _blob,
    "geoPointValue": _geo_point,
    "entityValue": lambda value, found, where, depth: value.entity_value.CopyFrom(
        read_entity(found, where, depth)
    ),
    "arrayValue": _array_value,
}


def parse_integer(text: str) -> int:
    """A 64-bit integer. Raises Problem."""
    if not _INTEGER.fullmatch(text.strip()) or not MIN_INTEGER <= int(text) <= MAX_INTEGER:
        raise Problem(f"{text!r} is not an integer. Expected one from {MIN_INTEGER} to {MAX_INTEGER}.")
    return int(text)


def _integer(found: Json, where: str) -> int:
    if isinstance(found, bool) or not isinstance(found, int | str):
        raise Problem(f'{where} is {_shown(found)}. Expected a whole number as text, such as "5".')
    try:
        return parse_integer(str(found))
    except Problem as problem:
        raise Problem(f"{where}: {problem.text}") from None


def _boolean(found: Json, where: str) -> bool:
    if not isinstance(found, bool):
        raise Problem(f"{where} is {_shown(found)}. Expected true or false.")
    return found


def _text(found: Json, where: str) -> str:
    if not isinstance(found, str):
        raise Problem(f"{where} is {_shown(found)}. Expected text.")
    try:
        found.encode()
    except UnicodeEncodeError:
        raise Problem(f"{where} holds half of a surrogate pair. Expected whole characters.") from None
    return found


def _mapping(found: Json, where: str, *known: str) -> dict[str, Json]:
    if not isinstance(found, dict):
        raise Problem(f"{where} is {_shown(found)}. Expected an object in braces.")
    unknown = [name for name in found if known and name not in known]
    if unknown:
        raise Problem(f"{where} has {unknown[0]!r}. Expected {', '.join(known)}.")
    return found


def _check_depth(where: str, depth: int) -> None:
    if depth > _MAX_DEPTH:
        raise Problem(f"{where[:60]}... is nested too deeply. At most 20 levels can be stored.")


def _partition(key: Any, field: str) -> str:
    return str(getattr(key.partition_id, field))


def _shown(found: Json) -> str:
    text = json.dumps(found)
    return text if len(text) <= 60 else f"{text[:57]}..."
