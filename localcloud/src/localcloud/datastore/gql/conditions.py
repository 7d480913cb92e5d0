"""The conditions of a GQL query's WHERE, as Filter messages."""

from __future__ import annotations

from localcloud.datastore.gql.lexer import Kind
from localcloud.datastore.gql.reader import Reader
from localcloud.datastore.gql.values import Values
from localcloud.datastore.messages import CompositeFilter, Filter, Message, PropertyFilter, Value

_OPERATORS = {
    "=": "EQUAL",
    "!=": "NOT_EQUAL",
    "<": "LESS_THAN",
    "<=": "LESS_THAN_OR_EQUAL",
    ">": "GREATER_THAN",
    ">=": "GREATER_THAN_OR_EQUAL",
}
# With the value before the property.
_MIRRORED = {"<": ">", "<=": ">=", ">": "<", ">=": "<="}
_MAX_DEPTH = 20


class Conditions:
    """Reads conditions, joined by AND and OR; AND binds more tightly."""

    def __init__(self, reader: Reader, values: Values) -> None:
        self._reader = reader
        self._values = values

    def condition(self, depth: int = 1) -> Message:
        """All up to the next clause, or up to the closing parenthesis. Raises Refused."""
        alternatives = [self._conjunction(depth)]
        while self._reader.accept("or"):
            alternatives.append(self._conjunction(depth))
        return _composite("OR", alternatives)

    def _conjunction(self, depth: int) -> Message:
        parts = [self._part(depth)]
        while self._reader.accept("and"):
            parts.append(self._part(depth))
        return _composite("AND", parts)

    def _part(self, depth: int) -> Message:
        reader = self._reader
        token = reader.token
        if not reader.accept("("):
            return self._backward() if self._values.is_next else self._forward()
        if depth > _MAX_DEPTH:
            raise reader.refused(token, f"more than {_MAX_DEPTH} parentheses one inside the other.")
        inner = self.condition(depth + 1)
        reader.expect(")")
        return inner

    def _forward(self) -> Message:
        """property operator value"""
        reader = self._reader
        if reader.token.kind is not Kind.NAME and not reader.token.is_name:
            raise reader.expected("a property's name, a value or (")
        path = reader.property()
        token = reader.token
        if reader.accept("is"):
            self._values.check_literal(reader.token)
            reader.expect("null")
            return _comparison(path, "EQUAL", Value(null_value=0))
        if reader.accept("has"):
            reader.expect("ancestor")
            return _comparison(path, "HAS_ANCESTOR", self._values.value())
        if reader.accept("contains") or reader.accept("in"):
            return _membership(path, self._values.value())
        if reader.accept("not"):
            reader.expect("in")
            return _comparison(path, "NOT_IN", self._values.value())
        if token.word not in _OPERATORS:
            raise reader.expected("=, !=, <, <=, >, >=, IN, NOT IN, CONTAINS, HAS ANCESTOR or IS NULL")
        reader.take()
        return _comparison(path, _OPERATORS[token.word], self._values.value())

    def _backward(self) -> Message:
        """value operator property"""
        reader = self._reader
        value = self._values.value()
        token = reader.token
        if reader.accept("has"):
            reader.expect("descendant")
            return _comparison(reader.property(), "HAS_ANCESTOR", value)
        if reader.accept("in"):
            return _membership(reader.property(), value)
        if token.word not in _OPERATORS:
            raise reader.expected("=, !=, <, <=, >, >=, IN or HAS DESCENDANT")
        reader.take()
        return _comparison(reader.property(), _OPERATORS[_MIRRORED.get(token.word, token.word)], value)


def _membership(path: str, value: Message) -> Message:
    """Real service: IN and CONTAINS of one value are an equality (both emulators)."""
    return _comparison(path, "IN" if value.HasField("array_value") else "EQUAL", value)


def _comparison(path: str, operator: str, value: Message) -> Message:
    message = Filter()
    message.property_filter.property.name = path
    message.property_filter.op = PropertyFilter.Operator.Value(operator)
    message.property_filter.value.CopyFrom(value)
    return message


def _composite(operator: str, filters: list[Message]) -> Message:
    if len(filters) == 1:
        return filters[0]
    message = Filter()
    message.composite_filter.op = CompositeFilter.Operator.Value(operator)
    message.composite_filter.filters.extend(filters)
    return message
