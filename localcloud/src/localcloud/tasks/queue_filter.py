"""The filter of ListQueues: comparisons of a queue's fields, joined by AND.

Real service: `state: PAUSED`, with the operators <=, <, >=, >, !=, = and : on any field
(ListQueuesRequest.filter).
We differ: no OR, no NOT, no parentheses; what is not understood is refused, not ignored.
"""

import operator
import re
from collections.abc import Callable
from typing import Any

from google.protobuf.descriptor import FieldDescriptor

from localcloud.tasks.errors import invalid
from localcloud.tasks.messages import Message
from localcloud.tasks.messages import Queue as QueueMessage
from localcloud.tasks.names import shown

_COMPARISON = re.compile(r'\s*([a-z_][a-z_.]*)\s*(<=|>=|!=|<|>|=|:)\s*("[^"]*"|[^\s"]+)\s*')
_AND = re.compile(r"AND\b")
_OPERATORS: dict[str, Callable[[Any, Any], bool]] = {
    "=": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
Test = Callable[[Message], bool]


def parse_filter(text: str) -> Test:
    """A test for Queue messages; the empty text lets all pass. Raises ApiError."""
    tests: list[Test] = []
    position = 0
    while text[position:].strip():
        found = _COMPARISON.match(text, position)
        if not found:
            raise _unclear(text)
        path, sign, value = found.groups()
        tests.append(_comparison(text, path.split("."), sign, value.strip('"')))
        position = found.end()
        joint = _AND.match(text, position)
        if joint:
            position = joint.end()
        if bool(joint) != bool(text[position:].strip()):
            raise _unclear(text)
    return lambda queue: all(test(queue) for test in tests)


def _comparison(text: str, path: list[str], sign: str, value: str) -> Test:
    descriptor = QueueMessage.DESCRIPTOR
    field: Any = None
    for name in path:
        field = descriptor.fields_by_name.get(name) if descriptor is not None else None
        if field is None or field.is_repeated:
            raise invalid(f"filter {shown(text)} names {'.'.join(path)}, which a queue does not have.")
        descriptor = field.message_type
    if descriptor is not None:
        raise invalid(f"filter {shown(text)} compares {'.'.join(path)}, which is not a single value.")
    wanted = _value(text, field, value)
    if sign == ":" and isinstance(wanted, str):
        return lambda queue: wanted in _read(queue, path)
    compare = _OPERATORS["=" if sign == ":" else sign]
    return lambda queue: compare(_read(queue, path), wanted)


def _value(text: str, field: Any, value: str) -> Any:
    """`value` as the field's own type."""
    try:
        if field.enum_type is not None:
            return field.enum_type.values_by_name[value].number
        if field.cpp_type == FieldDescriptor.CPPTYPE_STRING:
            return value
        return float(value)
    except (KeyError, ValueError) as error:
        raise invalid(f"filter {shown(text)}: {value!r} is not a value of {field.name}.") from error


def _read(queue: Message, path: list[str]) -> Any:
    for name in path:
        queue = getattr(queue, name)
    return queue


def _unclear(text: str) -> Exception:
    return invalid(
        f"filter {shown(text)} is not understood. "
        "Expected comparisons joined by AND, for instance state = PAUSED."
    )
