"""A query's filter in disjunctive normal form: alternatives, each of which is a set of plain conditions."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import product

from localcloud.datastore import limits
from localcloud.datastore.errors import invalid
from localcloud.datastore.key_encoding import encode_path, subtree
from localcloud.datastore.messages import CompositeFilter, Message, PropertyFilter
from localcloud.datastore.value_encoding import HIGHEST, LOWEST, encode_value

_AND = CompositeFilter.Operator.Value("AND")
_OR = CompositeFilter.Operator.Value("OR")
_OPERATORS = {number: name for name, number in PropertyFilter.Operator.items()}
INEQUALITIES = frozenset(
    ("LESS_THAN", "LESS_THAN_OR_EQUAL", "GREATER_THAN", "GREATER_THAN_OR_EQUAL", "NOT_EQUAL", "NOT_IN")
)
_MAX_DISJUNCTIONS = 30
_MAX_IN_VALUES = 30
_MAX_NOT_IN_VALUES = 10
_MAX_INEQUALITY_PROPERTIES = 10
_MAX_DEPTH = 20
_MAX_FILTERS_AND_ORDERS = 100
KEY = "__key__"


@dataclass(frozen=True, slots=True)
class Condition:
    """One comparison: of a property, or of the key, with an encoded value or several."""

    path: str
    operator: str
    values: tuple[bytes, ...]


@dataclass(slots=True)
class Interval:
    """From `low` to `high`, each with or without its end, and without the excluded values."""

    low: bytes = LOWEST
    has_low: bool = True
    high: bytes = HIGHEST
    has_high: bool = False
    excluded: set[bytes] = field(default_factory=set)

    def holds(self, value: bytes) -> bool:
        """Is the value inside?"""
        if value < self.low or (value == self.low and not self.has_low):
            return False
        if value > self.high or (value == self.high and not self.has_high):
            return False
        return value not in self.excluded

    def narrow(self, operator: str, value: bytes) -> None:
        """Leave only what also satisfies this comparison."""
        if operator == "EQUAL":
            self.narrow("GREATER_THAN_OR_EQUAL", value)
            self.narrow("LESS_THAN_OR_EQUAL", value)
        elif operator.startswith("GREATER"):
            includes = operator.endswith("EQUAL")
            if value > self.low or (value == self.low and not includes):
                self.low, self.has_low = value, includes
        elif operator.startswith("LESS"):
            includes = operator.endswith("EQUAL")
            if value < self.high or (value == self.high and not includes):
                self.high, self.has_high = value, includes
        else:
            self.excluded.add(value)

    @property
    def is_empty(self) -> bool:
        return self.low > self.high or (self.low == self.high and not (self.has_low and self.has_high))


@dataclass(slots=True)
class Alternative:
    """Conditions that must all hold. Each value in `equal` may be met by another element of an array."""

    equal: dict[str, set[bytes]] = field(default_factory=dict)
    intervals: dict[str, Interval] = field(default_factory=dict)
    keys: Interval = field(default_factory=Interval)
    ancestor: bytes | None = None

    def holds(self, key: bytes, values: dict[str, list[bytes]]) -> bool:
        """Does an entity with this key and these values satisfy all?"""
        if not self.keys.holds(key) or (self.ancestor is not None and not key.startswith(self.ancestor)):
            return False
        return all(wanted.issubset(values.get(path, ())) for path, wanted in self.equal.items()) and all(
            any(map(interval.holds, values.get(path, ()))) for path, interval in self.intervals.items()
        )


@dataclass(frozen=True, slots=True)
class Filters:
    """All alternatives of a query, and the properties that it compares by order."""

    alternatives: list[Alternative]
    inequalities: list[str]
    """Sorted by name; `__key__` is not among them."""
    equalities: frozenset[str]
    """Every property that some alternative compares by equality, even one that nothing can satisfy."""


def parse_filters(query: Message, prefix: bytes, project: str, database: str, namespace: str) -> Filters:
    """The filter of a query in a partition. Raises Refused for what the API does not allow."""
    parser = _Parser(prefix, project, database, namespace)
    disjunction: list[tuple[Condition, ...]] = [()]
    if query.HasField("filter"):
        disjunction = parser.alternatives(query.filter, 1)
    if parser.filters + len(query.order) > _MAX_FILTERS_AND_ORDERS:
        raise invalid(f"A query may have at most {_MAX_FILTERS_AND_ORDERS} filters and sort orders in all.")
    conditions = [each for conditions in disjunction for each in conditions]
    _check(conditions, disjunction)
    inequalities = sorted(
        {each.path for each in conditions if each.operator in INEQUALITIES and each.path != KEY}
    )
    if len(inequalities) > _MAX_INEQUALITY_PROPERTIES:
        raise invalid(f"A query may compare at most {_MAX_INEQUALITY_PROPERTIES} properties by inequality.")
    found = (_combine(each, prefix) for each in disjunction)
    return Filters(
        [each for each in found if each is not None],
        inequalities,
        frozenset(each.path for each in conditions if each.operator == "EQUAL"),
    )


class _Parser:
    def __init__(self, prefix: bytes, project: str, database: str, namespace: str) -> None:
        self._prefix = prefix
        self._project = project
        self._database = database
        self._namespace = namespace
        self.filters = 0
        """Property filters met so far."""

    def alternatives(self, message: Message, depth: int) -> list[tuple[Condition, ...]]:
        """The filter as a list of alternatives, each a tuple of conditions."""
        if depth > _MAX_DEPTH:
            raise invalid(f"A filter must not be nested more than {_MAX_DEPTH} levels deep.")
        kind = message.WhichOneof("filter_type")
        if kind == "property_filter":
            return self._property_filter(message.property_filter)
        if kind != "composite_filter":
            raise invalid("A filter must be a composite filter or a property filter.")
        composite = message.composite_filter
        if not composite.filters:
            raise invalid("A composite filter must have at least one sub-filter.")
        parts = (self.alternatives(each, depth + 1) for each in composite.filters)
        if composite.op == _OR:
            return _bounded(alternative for part in parts for alternative in part)
        if composite.op != _AND:
            raise invalid("A composite filter's operator must be AND or OR.")
        result: list[tuple[Condition, ...]] = [()]
        for part in parts:
            result = _bounded(left + right for left, right in product(result, part))
        return result

    def _property_filter(self, message: Message) -> list[tuple[Condition, ...]]:
        self.filters += 1
        path = message.property.name
        operator = _OPERATORS.get(message.op, "OPERATOR_UNSPECIFIED")
        if not path:
            raise invalid("A property filter must name its property.")
        if operator == "OPERATOR_UNSPECIFIED":
            raise invalid(f"The filter on {path!r} has no operator.")
        if operator == "HAS_ANCESTOR":
            if path != KEY:
                raise invalid("HAS_ANCESTOR is for __key__ only.")
            return [(Condition(path, operator, (self._key(message.value),)),)]
        if operator in ("IN", "NOT_IN"):
            values = self._list(path, operator, message.value)
            if operator == "NOT_IN":
                return [(Condition(path, operator, values),)]
            return [(Condition(path, "EQUAL", (value,)),) for value in values]
        return [(Condition(path, operator, (self._value(path, message.value),)),)]

    def _list(self, path: str, operator: str, value: Message) -> tuple[bytes, ...]:
        elements = value.array_value.values
        most = _MAX_IN_VALUES if operator == "IN" else _MAX_NOT_IN_VALUES
        if not elements:
            raise invalid(f"{operator} requires an non-empty ArrayValue.")
        if len(elements) > most:
            raise invalid(f"{operator} on {path!r} has {len(elements)} values. At most {most} are allowed.")
        return tuple(dict.fromkeys(self._value(path, each) for each in elements))

    def _value(self, path: str, value: Message) -> bytes:
        if path == KEY:
            return self._key(value)
        kind = value.WhichOneof("value_type")
        if kind == "key_value":
            limits.check_key_value(value.key_value, self._project, self._database)
        encoded = encode_value(value)
        if encoded is None:
            what = {"entity_value": "An entity", "array_value": "An array"}.get(kind, "No")
            raise invalid(f"{what} value is not allowed in the filter on {path!r}.")
        return encoded

    def _key(self, value: Message) -> bytes:
        if not value.HasField("key_value"):
            raise invalid("__key__ filter value must be a Key.")
        key = value.key_value
        namespace = limits.check_partition(key.partition_id, self._project, self._database)
        if namespace != self._namespace:
            raise invalid(f"The key's namespace is {namespace!r}, the query's {self._namespace!r}.")
        return self._prefix + encode_path(limits.check_path(key))


def _bounded(alternatives: Iterable[tuple[Condition, ...]]) -> list[tuple[Condition, ...]]:
    result: dict[tuple[Condition, ...], None] = {}
    for each in alternatives:
        result[each] = None
        if len(result) > _MAX_DISJUNCTIONS:
            raise invalid(f"The query has more than {_MAX_DISJUNCTIONS} disjunctions.")
    return list(result)


def _check(conditions: list[Condition], disjunction: list[tuple[Condition, ...]]) -> None:
    negations = {
        (each.path, each.operator, each.values) for each in conditions if each.operator.startswith("NOT_")
    }
    if len(negations) > 1:
        raise invalid("A query may have only one NOT_EQUAL or NOT_IN.")
    if len(disjunction) > 1 and any(operator == "NOT_IN" for _, operator, _ in negations):
        raise invalid("NOT_IN cannot be used together with OR or IN.")
    ancestors = [{each.values for each in one if each.operator == "HAS_ANCESTOR"} for one in disjunction]
    if any(len(each) > 1 for each in ancestors) or any(each != ancestors[0] for each in ancestors):
        raise invalid("All disjunctions must have the same HAS_ANCESTOR filter, and only one.")


def _combine(conditions: tuple[Condition, ...], prefix: bytes) -> Alternative | None:
    """The conditions put together; None if nothing can satisfy them all."""
    low, high = subtree(prefix)
    result = Alternative(keys=Interval(low=low, high=high))
    for condition in conditions:
        path, operator, values = condition.path, condition.operator, condition.values
        if operator == "HAS_ANCESTOR":
            result.ancestor = values[0]
            low, high = subtree(values[0])
            result.keys.narrow("GREATER_THAN_OR_EQUAL", low)
            result.keys.narrow("LESS_THAN", high)
        elif path == KEY:
            for value in values:
                result.keys.narrow(operator, value)
        elif operator == "EQUAL":
            result.equal.setdefault(path, set()).update(values)
        else:
            interval = result.intervals.setdefault(path, Interval())
            for value in values:
                interval.narrow(operator, value)
    if result.keys.is_empty or any(each.is_empty for each in result.intervals.values()):
        return None
    # Real service: an equality and an inequality on one property are met by one element (observed on the
    # Firestore emulator in Datastore mode), so the one either settles the other or contradicts it.
    for path in list(result.intervals):
        if path in result.equal:
            interval = result.intervals.pop(path)
            if not all(map(interval.holds, result.equal[path])):
                return None
    return result


def each_path(alternatives: Iterable[Alternative]) -> Iterator[str]:
    """Every property that the alternatives compare, with repetitions."""
    for alternative in alternatives:
        yield from alternative.equal
        yield from alternative.intervals
