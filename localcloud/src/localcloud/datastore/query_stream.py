"""The results of a query, one after the other, in order; no more is read than is asked for.

An alternative is read in one of three ways. Without sort columns, index rows come in the order of keys.
With sort columns, the first one's index rows give the order, and where there are more, entities with an equal
first value are sorted among themselves. But if equality filters leave few candidates, these are read and
sorted. The streams of several alternatives are merged.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from heapq import merge
from itertools import groupby
from operator import attrgetter, itemgetter

from localcloud.datastore.cursors import Cursor
from localcloud.datastore.indexing import IndexedValues, indexed_values
from localcloud.datastore.messages import Entity
from localcloud.datastore.query_filters import Alternative, Interval
from localcloud.datastore.query_plan import Plan
from localcloud.datastore.query_positions import Positions, SortKey
from localcloud.datastore.query_sql import Source, Statement, by_key, by_value, interval_condition

_FEW = 1000


@dataclass(slots=True)
class Item:
    """A result's place: its values of the sort columns, its key, and how it sorts."""

    sort_key: SortKey
    values: tuple[bytes, ...]
    key: bytes


class Stream:
    """One run of a query over one state of the database."""

    def __init__(self, plan: Plan, source: Source) -> None:
        self._plan = plan
        self._source = source
        self._positions = Positions(plan)
        self.rows_scanned = 0
        """Index rows read so far."""

    def _all_items(self, start: Cursor | None) -> Iterator[Item]:
        """All of them, equal ones too."""
        streams = [self._alternative(each, start) for each in self._plan.alternatives]
        if not streams:
            return
        # Entities that satisfy several alternatives come from each of them, at the same place.
        items: Iterable[Item] = (
            streams[0] if len(streams) == 1 else merge(*streams, key=attrgetter("sort_key"))
        )
        last: SortKey | None = None
        if start is not None and start.key is not None:
            last = self._positions.sort_key(start.values, start.key)
        for item in items:
            if last is None or last < item.sort_key:
                last = item.sort_key
                yield item

    def results(self, start: Cursor | None = None) -> Iterator[Item]:
        """All results after a cursor; of those equal in the first `plan.distinct` columns, the first."""
        count = self._plan.distinct
        if not count:
            yield from self._all_items(start)
            return
        last = start.values[:count] if start is not None and start.key is not None else None
        for item in self._all_items(start):
            if item.values[:count] != last:
                last = item.values[:count]
                yield item

    def entities(self, keys: list[bytes]) -> dict[bytes, tuple[int, int, bytes]]:
        """By key: version, creation, and the Entity in bytes."""
        source = self._source
        marks = ",".join("?" * len(keys))
        return {
            key: (version, created, data)
            for key, version, created, data in source.connection.execute(
                f"SELECT key, version, created, data FROM {source.entities} WHERE key IN ({marks})",
                keys,
            )
        }

    def _alternative(self, alternative: Alternative, start: Cursor | None) -> Iterator[Item]:
        plan = self._plan
        candidates = by_key(plan, alternative, self._source)
        if candidates is None:
            return
        driving = next((each for each in plan.columns if each.path not in alternative.equal), None)
        if driving is None:
            yield from self._in_key_order(candidates, alternative, start)
            return
        if alternative.equal and candidates.count_at_most(self._source.connection, _FEW) < _FEW:
            keys = (key for _, key, _ in self._rows(candidates, f"{candidates.key}"))
            yield from self._sorted(keys)
            return
        statement = by_value(plan, alternative, driving.path, self._source)
        if statement is None:
            return
        if driving is not plan.columns[0] or plan.key_position == 0:
            # Something else comes before it in the order.
            yield from self._sorted({key: None for _, key, _ in self._rows(statement, statement.key)})
            return
        yield from self._in_value_order(statement, start)

    def _in_key_order(
        self, statement: Statement, alternative: Alternative, start: Cursor | None
    ) -> Iterator[Item]:
        plan = self._plan
        constants = tuple(min(alternative.equal[each.path]) for each in plan.columns)
        bound = ""
        parameters: tuple[bytes, ...] = ()
        if start is not None and start.key is not None and not plan.columns:
            bound = f" AND {statement.key} {'<' if plan.is_key_descending else '>'} ?"
            parameters = (start.key,)
        direction = "DESC" if plan.is_key_descending else "ASC"
        rows = self._rows(statement, f"{statement.key} {direction}", bound, parameters)
        for _, key, several in rows:
            if several and plan.columns:
                yield from self._sorted([key])
            else:
                yield Item(self._positions.sort_key(constants, key), constants, key)

    def _in_value_order(self, statement: Statement, start: Cursor | None) -> Iterator[Item]:
        plan, positions = self._plan, self._positions
        column = plan.columns[0]
        bound = ""
        parameters: list[bytes] = []
        if start is not None and start.key is not None:
            # What lies before the cursor's own first value need not be read again.
            interval = Interval()
            interval.narrow(
                "LESS_THAN_OR_EQUAL" if column.is_descending else "GREATER_THAN_OR_EQUAL", start.values[0]
            )
            text, parameters = interval_condition(interval, statement.value)
            bound = f" AND {text}"
        by = f"{statement.value} {'DESC' if column.is_descending else 'ASC'}"
        by += f", {statement.key} {'DESC' if plan.is_key_descending else 'ASC'}"
        rows = self._rows(statement, by, bound, tuple(parameters))
        if len(plan.columns) == 1:
            for value, key, several in rows:
                is_here = not several or plan.is_exploded
                if is_here or positions.of(key, self._values(key))[:1] == [(value,)]:
                    yield Item(positions.sort_key((value,), key), (value,), key)
            return
        for value, group in groupby(rows, itemgetter(0)):
            keys = [key for _, key, _ in group]
            yield from (item for item in self._sorted(keys) if item.values[0] == value)

    def _sorted(self, keys: Iterable[bytes]) -> Iterator[Item]:
        positions = self._positions
        items = [
            Item(positions.sort_key(values, key), values, key)
            for key in dict.fromkeys(keys)
            for values in positions.of(key, self._values(key))
        ]
        return iter(sorted(items, key=attrgetter("sort_key")))

    def _values(self, key: bytes) -> IndexedValues:
        source = self._source
        row = source.connection.execute(
            f"SELECT data FROM {source.entities} WHERE key = ?",
            (key,),
        ).fetchone()
        return indexed_values(Entity.FromString(row[0]))

    def _rows(
        self, statement: Statement, order: str, bound: str = "", parameters: tuple[bytes, ...] = ()
    ) -> Iterator[tuple[bytes, bytes, int]]:
        for row in statement.rows(self._source.connection, order, bound, parameters):
            self.rows_scanned += 1
            yield row
