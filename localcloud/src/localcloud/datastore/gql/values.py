"""Values in a GQL string: literals, KEY(), ARRAY(), BLOB(), DATETIME(), and binding sites."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from localcloud.datastore.catalog import Partition
from localcloud.datastore.gql.bindings import Bindings
from localcloud.datastore.gql.lexer import Kind, Token
from localcloud.datastore.gql.literals import blob_bytes, time_us
from localcloud.datastore.gql.reader import Reader
from localcloud.datastore.messages import Message, Value, set_timestamp

_INTEGERS = range(-(1 << 63), 1 << 63)
_DIMENSIONS = {"project": "project_id", "database": "database_id", "namespace": "namespace_id"}
T = TypeVar("T")


class Values:
    """Reads values. `partition` is the request's: keys lie there unless they say otherwise."""

    def __init__(self, reader: Reader, bindings: Bindings, partition: Partition, *, literals: bool) -> None:
        self._reader = reader
        self._bindings = bindings
        self._partition = partition
        self._literals = literals

    @property
    def is_next(self) -> bool:
        """Does a value come next, not a property?"""
        token = self._reader.token
        if token.kind is Kind.NAME:
            return token.word in ("true", "false", "null") or self._reader.is_call
        return token.kind not in (Kind.QUOTED_NAME, Kind.SYMBOL, Kind.END)

    def value(self) -> Message:
        """The next value. Raises Refused."""
        reader = self._reader
        token = reader.token
        if token.kind in (Kind.NAMED_SITE, Kind.NUMBERED_SITE):
            return self._bindings.value(reader.take())
        if token.kind is Kind.INTEGER:
            return Value(integer_value=self.integer())
        if token.kind is Kind.DOUBLE:
            return Value(double_value=self._double())
        if token.kind is Kind.STRING:
            self.check_literal(token)
            return Value(string_value=reader.string())
        if reader.is_call:
            return self._call()
        if token.word in ("true", "false"):
            self.check_literal(reader.take())
            return Value(boolean_value=token.word == "true")
        if token.word == "null":
            self.check_literal(reader.take())
            return Value(null_value=0)
        raise reader.expected("a value" if token.word != "(" else "a value; a list is written ARRAY(1, 2)")

    def integer(self) -> int:
        """The next token, a whole number of 64 bits."""
        reader = self._reader
        token = reader.token
        if token.kind is not Kind.INTEGER:
            raise reader.expected("a whole number")
        self.check_literal(reader.take())
        # Longer texts are out of range whatever they say, and expensive to read.
        number = int(token.text) if len(token.text) <= 100 else _INTEGERS.stop
        if number not in _INTEGERS:
            raise reader.refused(token, f"the number {token.text[:100]} is too large for 64 bits.")
        return number

    def position(self) -> int | bytes:
        """The next number or binding site, of LIMIT or OFFSET: a count, or a cursor."""
        if self._reader.token.kind in (Kind.NAMED_SITE, Kind.NUMBERED_SITE):
            return self._bindings.position(self._reader.take())
        return self.integer()

    def check_literal(self, token: Token) -> None:
        """Real service: without allow_literals a query must bind all values (GqlQuery.allow_literals)."""
        if not self._literals:
            raise self._reader.refused(
                token, f"disallowed literal {token.text[:100]}. Expected a binding, or allow_literals."
            )

    def _double(self) -> float:
        token = self._reader.take()
        self.check_literal(token)
        try:
            return float(token.text)
        except ValueError:
            raise self._reader.refused(
                token, f"{token.text[:100]} is not a number. Expected digits after the e."
            ) from None

    def _call(self) -> Message:
        reader = self._reader
        name = reader.take()
        self.check_literal(name)
        reader.expect("(")
        if name.word == "key":
            value = self._key()
        elif name.word == "array":
            value = self._array()
        elif name.word == "blob":
            value = Value(blob_value=self._argument(blob_bytes))
        elif name.word == "datetime":
            value = Value()
            set_timestamp(value.timestamp_value, self._argument(time_us))
        else:
            raise reader.refused(
                name, f"there is no function {name.text[:100]}. Expected KEY, ARRAY, BLOB or DATETIME."
            )
        reader.expect(")")
        return value

    def _key(self) -> Message:
        reader = self._reader
        value = Value()
        key = value.key_value
        dimensions = self._dimensions()
        if "project" not in dimensions:
            dimensions.setdefault("namespace", self._partition.namespace)
            dimensions.setdefault("database", self._partition.database)
        dimensions.setdefault("project", self._partition.project)
        for dimension, text in dimensions.items():
            setattr(key.partition_id, _DIMENSIONS[dimension], text)
        while True:
            element = key.path.add(kind=reader.name("a kind"))
            reader.expect(",")
            if reader.token.kind is Kind.STRING:
                element.name = reader.string()
            elif reader.token.kind is Kind.INTEGER:
                element.id = self.integer()
            else:
                raise reader.expected("a key's id or its name in quotes")
            if not reader.accept(","):
                return value

    def _dimensions(self) -> dict[str, str]:
        reader = self._reader
        dimensions: dict[str, str] = {}
        while reader.is_call:
            token = reader.take()
            if token.word not in _DIMENSIONS:
                raise reader.refused(
                    token,
                    f"found {token.text[:100]}(. Expected PROJECT, DATABASE or NAMESPACE, or a kind.",
                )
            if token.word in dimensions:
                raise reader.refused(token, f"a key has only one {token.word}.")
            reader.expect("(")
            dimensions[token.word] = reader.string()
            reader.expect(")")
            reader.expect(",")
        return dimensions

    def _array(self) -> Message:
        reader = self._reader
        value = Value()
        value.array_value.SetInParent()
        while reader.token.word != ")":
            token = reader.token
            if token.word == "array":
                raise reader.refused(token, "an array can't hold an array.")
            element = self.value()
            if element.HasField("array_value"):
                raise reader.refused(token, "an array can't hold an array.")
            value.array_value.values.append(element)
            if not reader.accept(","):
                break
        return value

    def _argument(self, read: Callable[[str], T]) -> T:
        """What `read` makes of the next token, a string."""
        token = self._reader.token
        try:
            return read(self._reader.string())
        except ValueError as error:
            raise self._reader.refused(token, str(error)) from None
