"""Aggregations over the results of a query: count, sum, average."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from localcloud.datastore import limits
from localcloud.datastore.cursors import Cursor
from localcloud.datastore.errors import invalid
from localcloud.datastore.messages import AggregationResult, Message, Value
from localcloud.datastore.metadata_kinds import METADATA_KINDS, MetadataStream
from localcloud.datastore.query_batch import until_end_cursor
from localcloud.datastore.query_plan import Plan
from localcloud.datastore.query_sql import Source, by_key, by_value
from localcloud.datastore.query_stream import Stream
from localcloud.datastore.value_encoding import number_of

_MAX_AGGREGATIONS = 5
_MAX_INTEGER = (1 << 63) - 1
_MIN_INTEGER = -(1 << 63)
_ENTRIES_PER_READ = 1000


@dataclass(frozen=True, slots=True)
class Aggregation:
    """One of count, sum and avg. `path` is empty for count; `up_to` bounds a count."""

    alias: str
    operator: str
    path: str
    up_to: int | None


def parse_aggregations(query: Message) -> list[Aggregation]:
    """The aggregations of an AggregationQuery. Raises Refused.

    Real service: one to five; an unnamed one is called property_1, property_2 and so on.
    """
    if not 1 <= len(query.aggregations) <= _MAX_AGGREGATIONS:
        raise invalid(f"Expected 1 to {_MAX_AGGREGATIONS} aggregations, not {len(query.aggregations)}.")
    found: list[Aggregation] = []
    unnamed = 0
    for message in query.aggregations:
        operator = message.WhichOneof("operator")
        if operator is None:
            raise invalid("An aggregation must be count, sum or avg.")
        path = "" if operator == "count" else getattr(message, operator).property.name
        if operator != "count" and (not path or path == "__key__"):
            raise invalid(f"The {operator} must name a property.")
        alias = message.alias
        if alias:
            limits.check_property_name(alias)
        else:
            unnamed += 1
            alias = f"property_{unnamed}"
        up_to = None
        if operator == "count" and message.count.HasField("up_to"):
            up_to = message.count.up_to.value
            if up_to < 0:
                raise invalid("up_to must not be negative.")
        found.append(Aggregation(alias, operator, path, up_to))
    if len({each.alias for each in found}) < len(found):
        raise invalid("Each aggregation needs an alias of its own.")
    return found


def summed_paths(aggregations: list[Aggregation]) -> tuple[str, ...]:
    """The properties whose values are needed.

    Real service: sums and averages are read from the index of the property, so that entities outside of it
    don't count, and each element of an array does (observed on the Firestore emulator in Datastore mode).
    """
    return tuple(dict.fromkeys(each.path for each in aggregations if each.path))


class Aggregator:
    """Computes aggregations of a plan's results, from one state of the database."""

    def __init__(
        self,
        plan: Plan,
        aggregations: list[Aggregation],
        source: Source,
        stream: Stream | MetadataStream,
        start: Cursor | None,
    ) -> None:
        self._plan = plan
        self._aggregations = aggregations
        self._source = source
        self._stream = stream
        self._start = start
        self.rows_scanned = 0

    def result(self) -> Message:
        """The AggregationResult."""
        paths = summed_paths(self._aggregations)
        count, numbers = self._sums(paths) if paths else (self._count(), {})
        result = AggregationResult()
        for each in self._aggregations:
            value = result.aggregate_properties[each.alias]
            if each.operator == "count":
                value.integer_value = count if each.up_to is None else min(count, each.up_to)
            else:
                compute = _sum if each.operator == "sum" else _average
                value.CopyFrom(compute(numbers[each.path]))
        return result

    @property
    def reads(self) -> int:
        """Real service: one read for every 1000 index entries, and at least one ("Pricing")."""
        return max(1, -(-self.rows_scanned // _ENTRIES_PER_READ))

    def _count(self) -> int:
        plan = self._plan
        quick = self._quick_count()
        if quick is not None:
            self.rows_scanned = quick
            quick = max(0, quick - plan.offset)
            return quick if plan.limit is None else min(quick, plan.limit)
        return sum(1 for _ in self._values())

    def _quick_count(self) -> int | None:
        """Counted by SQLite alone, where each index row, or each key, is a result."""
        plan = self._plan
        if len(plan.alternatives) != 1 or plan.distinct or plan.is_exploded:
            return None
        if plan.start_cursor or plan.end_cursor or plan.kind in METADATA_KINDS:
            return None
        bound = None if plan.limit is None else plan.offset + plan.limit
        alternative = plan.alternatives[0]
        sorting = [each.path for each in plan.columns if each.path not in alternative.equal]
        if len(sorting) > 1:
            return None
        if sorting:
            statement = by_value(plan, alternative, sorting[0], self._source)
        else:
            statement = by_key(plan, alternative, self._source)
        return 0 if statement is None else statement.count(self._source.connection, bound)

    def _sums(self, paths: tuple[str, ...]) -> tuple[int, dict[str, list[int | float]]]:
        positions = {column.path: number for number, column in enumerate(self._plan.columns)}
        numbers: dict[str, list[int | float]] = {path: [] for path in paths}
        count = 0
        for values in self._values():
            count += 1
            for path in paths:
                number = number_of(values[positions[path]])
                if number is not None:
                    numbers[path].append(number)
        return count, numbers

    def _values(self) -> Iterator[tuple[bytes, ...]]:
        """The column values of every result."""
        plan = self._plan
        bound = None if plan.limit is None else plan.offset + plan.limit
        for number, item in enumerate(until_end_cursor(self._stream.results(self._start), plan)):
            if bound is not None and number >= bound:
                break
            if number >= plan.offset:
                yield item.values
        self.rows_scanned = self._stream.rows_scanned


def _sum(numbers: list[int | float]) -> Message:
    if all(isinstance(each, int) for each in numbers):
        total = sum(numbers)
        if _MIN_INTEGER <= total <= _MAX_INTEGER:
            return Value(integer_value=total)
        return Value(double_value=float(total))
    return Value(double_value=_float_sum(numbers))


def _average(numbers: list[int | float]) -> Message:
    if not numbers:
        return Value(null_value=0)
    if all(isinstance(each, int) for each in numbers):
        return Value(double_value=sum(numbers) / len(numbers))
    return Value(double_value=_float_sum(numbers) / len(numbers))


def _float_sum(numbers: list[int | float]) -> float:
    try:
        return math.fsum(numbers)
    except (OverflowError, ValueError):
        # Beyond the largest double, or infinities of both signs: what IEEE 754 says, step by step.
        return sum(map(float, numbers))
