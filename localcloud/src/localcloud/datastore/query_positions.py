"""Where an entity stands among the results of a query: its position, or its positions."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import total_ordering
from itertools import product
from typing import Any, TypeAlias

from localcloud.datastore.indexing import IndexedValues
from localcloud.datastore.query_filters import Alternative
from localcloud.datastore.query_plan import Column, Plan

SortKey: TypeAlias = tuple[Any, ...]


@total_ordering
@dataclass(frozen=True, slots=True)
class Descending:
    """Bytes that sort the other way round."""

    content: bytes

    def __lt__(self, other: Descending) -> bool:
        return self.content > other.content


class Positions:
    """The order of a plan's results."""

    def __init__(self, plan: Plan) -> None:
        self._columns = plan.columns
        self._alternatives = plan.alternatives
        self._key_position = plan.key_position
        self._is_key_descending = plan.is_key_descending
        self._is_exploded = plan.is_exploded

    def sort_key(self, values: tuple[bytes, ...], key: bytes) -> SortKey:
        """Sorts as the results do."""
        parts: list[Any] = [
            Descending(value) if column.is_descending else value
            for column, value in zip(self._columns, values, strict=True)
        ]
        parts.insert(self._key_position, Descending(key) if self._is_key_descending else key)
        return tuple(parts)

    def of(self, key: bytes, values: IndexedValues) -> list[tuple[bytes, ...]]:
        """The column values with which the entity is a result, in order; none if it is not a result.

        Real service: an entity with several values is listed once, where its smallest value puts it
        (descending: its largest), of those that satisfy the filters; only a projection lists it once for each
        combination.
        """
        found = {
            position
            for alternative in self._alternatives
            if alternative.holds(key, values)
            for position in self._in_alternative(alternative, values)
        }
        ordered = sorted(found, key=lambda position: self.sort_key(position, key))
        return ordered if self._is_exploded else ordered[:1]

    def _in_alternative(self, alternative: Alternative, values: IndexedValues) -> Iterator[tuple[bytes, ...]]:
        choices = []
        for column in self._columns:
            elements = elements_in(column, alternative, values)
            if not elements:
                return iter(())
            if not self._is_exploded:
                elements = [elements[-1] if column.is_descending else elements[0]]
            choices.append(elements)
        return product(*choices)


def elements_in(column: Column, alternative: Alternative, values: IndexedValues) -> list[bytes]:
    """The values of a column that satisfy an alternative, ascending."""
    wanted = alternative.equal.get(column.path)
    if wanted:
        return sorted(wanted)
    elements = values.get(column.path, [])
    interval = alternative.intervals.get(column.path)
    return elements if interval is None else list(filter(interval.holds, elements))
