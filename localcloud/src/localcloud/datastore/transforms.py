"""Property transforms: changes that depend on the value that is there.

Real service: the comments of datastore.proto on PropertyTransform; each rule here is theirs.
"""

from __future__ import annotations

import math

from localcloud.datastore.clock import MILLISECOND_US
from localcloud.datastore.errors import invalid
from localcloud.datastore.limits import check_property_name, check_value
from localcloud.datastore.messages import Message, PropertyTransform, Value, set_timestamp
from localcloud.datastore.property_paths import parse_path, set_at, value_at
from localcloud.datastore.value_encoding import encode_value

_MAX_INTEGER = (1 << 63) - 1
_MIN_INTEGER = -(1 << 63)
_REQUEST_TIME = PropertyTransform.ServerValue.Value("REQUEST_TIME")


def apply_transforms(entity: Message, transforms: list[Message], time_us: int) -> list[Message]:
    """Change the entity, one transform after the other; the result of each."""
    return [_apply(entity, transform, time_us) for transform in transforms]


def _apply(entity: Message, transform: Message, time_us: int) -> Message:
    names = parse_path(transform.property)
    for name in names:
        check_property_name(name)
    kind = transform.WhichOneof("transform_type")
    present = value_at(entity, names)
    if kind in ("increment", "maximum", "minimum"):
        operand = getattr(transform, kind)
        if _number(operand) is None:
            raise invalid(f"The {kind} of {transform.property!r} must be an integer or a double.")
        result = _calculate(kind, present, operand)
        set_at(entity, names, result)
        return result
    if kind == "set_to_server_value":
        if transform.set_to_server_value != _REQUEST_TIME:
            raise invalid(f"The server value of {transform.property!r} must be REQUEST_TIME.")
        result = _like(present)
        set_timestamp(result.timestamp_value, time_us - time_us % MILLISECOND_US)
        set_at(entity, names, result)
        return result
    if kind in ("append_missing_elements", "remove_all_from_array"):
        elements = list(getattr(transform, kind).values)
        for element in elements:
            check_value(transform.property, element, entity.key.partition_id, is_in_array=True)
        change = _with_missing if kind == "append_missing_elements" else _without
        changed = Value()
        changed.array_value.values.extend(change(_elements_of(present), elements))
        set_at(entity, names, changed)
        return Value(null_value=0)
    raise invalid(f"The transform of {transform.property!r} says nothing to do.")


def _number(value: Message | None) -> int | float | None:
    if value is None:
        return None
    kind = value.WhichOneof("value_type")
    if kind == "integer_value":
        return int(value.integer_value)
    if kind == "double_value":
        return float(value.double_value)
    return None


def _like(present: Message | None) -> Message:
    """A value without content that is indexed as the present one is."""
    return Value(exclude_from_indexes=present is not None and present.exclude_from_indexes)


def _calculate(kind: str, present: Message | None, operand: Message) -> Message:
    current, given = _number(present), _number(operand)
    assert given is not None
    if current is None or present is None:
        result = Value()
        result.CopyFrom(operand)
        return result
    if kind == "increment":
        result = _like(present)
        if isinstance(current, int) and isinstance(given, int):
            result.integer_value = min(max(current + given, _MIN_INTEGER), _MAX_INTEGER)
        else:
            result.double_value = float(current) + float(given)
        return result
    wins = _is_nan(given) if _is_nan(given) or _is_nan(current) else _beats(kind, given, current)
    if not wins:
        return present
    result = _like(present)
    if isinstance(given, int):
        result.integer_value = given
    else:
        result.double_value = given
    return result


def _beats(kind: str, given: float, current: float) -> bool:
    return given > current if kind == "maximum" else given < current


def _is_nan(number: float) -> bool:
    return isinstance(number, float) and math.isnan(number)


def _elements_of(present: Message | None) -> list[Message]:
    if present is not None and present.HasField("array_value"):
        return list(present.array_value.values)
    return []


def _identity(value: Message) -> object:
    """Equal for equivalent values: numbers by their amount, whatever their type; NaN equals itself."""
    number = _number(value)
    if number is not None:
        return ("number", "NaN") if _is_nan(number) else ("number", number)
    content = Value()
    content.CopyFrom(value)
    content.ClearField("exclude_from_indexes")
    content.ClearField("meaning")
    return (
        encode_value(content),
        content.WhichOneof("value_type"),
        content.SerializeToString(deterministic=True),
    )


def _with_missing(present: list[Message], given: list[Message]) -> list[Message]:
    seen = {_identity(each) for each in present}
    result = list(present)
    for element in given:
        identity = _identity(element)
        if identity not in seen:
            seen.add(identity)
            result.append(element)
    return result


def _without(present: list[Message], given: list[Message]) -> list[Message]:
    unwanted = {_identity(each) for each in given}
    return [each for each in present if _identity(each) not in unwanted]
