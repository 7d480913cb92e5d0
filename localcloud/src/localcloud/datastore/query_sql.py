"""Alternatives of a query as SQL over the index rows, at the latest version or at one of the past."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from localcloud.datastore.catalog import Catalog
from localcloud.datastore.query_filters import Alternative, Interval
from localcloud.datastore.query_plan import Plan

# SQLite joins 64 tables at most; the values beyond are looked up for each candidate.
_MAX_JOINED = 32


@dataclass(frozen=True, slots=True)
class Source:
    """Where rows are read from: a connection, at its latest version or (`version`) at an earlier one."""

    connection: sqlite3.Connection
    catalog: Catalog
    version: int
    is_past: bool

    @property
    def index_rows(self) -> str:
        if not self.is_past:
            return "index_row"
        at = self.version
        return (
            f"(SELECT scope, value, key, several FROM index_row WHERE since <= {at} UNION ALL"
            f" SELECT scope, value, key, several FROM past_index_row WHERE since <= {at} AND until > {at})"
        )

    @property
    def entities(self) -> str:
        if not self.is_past:
            return "entity"
        at = self.version
        return (
            f"(SELECT key, version, created, data FROM entity WHERE version <= {at} UNION ALL"
            f" SELECT key, since AS version, created, data FROM past_entity"
            f" WHERE since <= {at} AND until > {at})"
        )


@dataclass(frozen=True, slots=True)
class Statement:
    """`SELECT value, key, several` of the entities that may satisfy an alternative, each once per value."""

    tables: str
    conditions: str
    parameters: tuple[Any, ...]
    value: str
    several: str
    key: str

    def rows(
        self, connection: sqlite3.Connection, order: str, bound: str = "", parameters: tuple[Any, ...] = ()
    ) -> Iterator[tuple[bytes, bytes, int]]:
        """In the given order, within an additional bound."""
        return connection.execute(
            f"SELECT {self.value}, {self.key}, {self.several} FROM {self.tables}"
            f" WHERE {self.conditions}{bound} ORDER BY {order}",
            self.parameters + parameters,
        )

    def count_at_most(self, connection: sqlite3.Connection, limit: int) -> int:
        """How many rows there are, counted no further than `limit`."""
        row = connection.execute(
            f"SELECT count(*) FROM (SELECT 1 FROM {self.tables} WHERE {self.conditions} LIMIT {limit})",
            self.parameters,
        ).fetchone()
        return int(row[0])

    def count(self, connection: sqlite3.Connection, limit: int | None) -> int:
        """How many entities there are: one with several values in range counts once.

        Counting may stop at `limit`.
        """
        bound = "" if limit is None else f"LIMIT {limit}"
        count, has_several = connection.execute(
            f"SELECT count(*), max(several) FROM (SELECT {self.several} AS several"
            f" FROM {self.tables} WHERE {self.conditions} {bound})",
            self.parameters,
        ).fetchone()
        if has_several:
            (count,) = connection.execute(
                f"SELECT count(DISTINCT {self.key}) FROM {self.tables} WHERE {self.conditions}",
                self.parameters,
            ).fetchone()
        return int(count)


def by_key(plan: Plan, alternative: Alternative, source: Source) -> Statement | None:
    """Candidates in the order of keys, by the equality filters; None if no entity can match."""
    probes = _probes(plan, alternative, source)
    if probes is None:
        return None
    if not probes and plan.kind is None:
        conditions, parameters = _key_range(alternative, "e0.key")
        return Statement(f"{source.entities} e0", conditions, parameters, "x''", "0", "e0.key")
    if not probes:
        scope = source.catalog.find_scope(plan.partition.id, plan.kind or "", "")
        if scope is None:
            return None
        probes = [(scope, b"")]
    return _statement(probes, alternative, source, None, "e0")


def by_value(plan: Plan, alternative: Alternative, path: str, source: Source) -> Statement | None:
    """Candidates in the order of one property's values, then of keys; None if no entity can match."""
    probes = _probes(plan, alternative, source)
    scope = source.catalog.find_scope(plan.partition.id, plan.kind or "", path)
    if probes is None or scope is None:
        return None
    return _statement(probes, alternative, source, (scope, alternative.intervals.get(path)), "t")


def _probes(plan: Plan, alternative: Alternative, source: Source) -> list[tuple[int, bytes]] | None:
    probes = []
    for path, values in alternative.equal.items():
        scope = source.catalog.find_scope(plan.partition.id, plan.kind or "", path)
        if scope is None:
            return None
        probes += [(scope, value) for value in sorted(values)]
    return probes


def _statement(
    probes: list[tuple[int, bytes]],
    alternative: Alternative,
    source: Source,
    driver: tuple[int, Interval | None] | None,
    driving: str,
) -> Statement:
    tables: list[str] = []
    conditions: list[str] = []
    parameters: list[Any] = []
    if driver is not None:
        scope, interval = driver
        tables.append(f"{source.index_rows} t")
        conditions.append("t.scope = ?")
        parameters.append(scope)
        if interval is not None:
            text, values = interval_condition(interval, "t.value")
            conditions.append(text)
            parameters += values
    for number, (scope, value) in enumerate(probes[:_MAX_JOINED]):
        alias = f"e{number}"
        tables.append(f"{source.index_rows} {alias}")
        conditions.append(f"{alias}.scope = ? AND {alias}.value = ?")
        parameters += [scope, value]
        if alias != driving:
            conditions.append(f"{alias}.key = {driving}.key")
    for scope, value in probes[_MAX_JOINED:]:
        conditions.append(
            f"EXISTS (SELECT 1 FROM {source.index_rows} p"
            f" WHERE p.scope = ? AND p.value = ? AND p.key = {driving}.key)"
        )
        parameters += [scope, value]
    text, bounds = _key_range(alternative, f"{driving}.key")
    flags = [f"{table.split()[-1]}.several" for table in tables]
    several = " | ".join(flags) if len(probes) <= _MAX_JOINED else "1"
    return Statement(
        # A cross join is one that SQLite does not reorder: the first table gives the order.
        " CROSS JOIN ".join(tables),
        " AND ".join([*conditions, text]),
        (*parameters, *bounds),
        "t.value" if driver else "x''",
        several,
        f"{driving}.key",
    )


def _key_range(alternative: Alternative, column: str) -> tuple[str, tuple[Any, ...]]:
    text, values = interval_condition(alternative.keys, column)
    return text, tuple(values)


def interval_condition(interval: Interval, column: str) -> tuple[str, list[bytes]]:
    """The interval as a condition on a column, and its parameters."""
    parts, values = [], []
    parts.append(f"{column} {'>=' if interval.has_low else '>'} ?")
    values.append(interval.low)
    parts.append(f"{column} {'<=' if interval.has_high else '<'} ?")
    values.append(interval.high)
    for excluded in sorted(interval.excluded):
        parts.append(f"{column} <> ?")
        values.append(excluded)
    return " AND ".join(parts), values
