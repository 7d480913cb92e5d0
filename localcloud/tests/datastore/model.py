"""A small Datastore that is obviously right: a dictionary, and queries that try everything.

It shares nothing with the server: values are compared as Python values, by the documented order of types.
Entities are {path: {property: value or list of values}}; all properties are indexed.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cmp_to_key
from itertools import product
from typing import Any

Path = tuple[Any, ...]
Entities = dict[Path, dict[str, Any]]


@dataclass(frozen=True)
class Asked:
    """A query: alternatives of conditions (property, operator, value), of which one must hold."""

    kind: str
    alternatives: tuple[tuple[tuple[str, str, Any], ...], ...]
    orders: tuple[str, ...] = ()
    ancestor: Path | None = None
    projection: tuple[str, ...] = ()
    distinct: tuple[str, ...] = ()
    offset: int = 0
    limit: int | None = None


def rank(value: Any) -> tuple[int, Any]:
    """Sorts values of all types: null, integers, booleans, strings, doubles."""
    if value is None:
        return 0, 0
    if isinstance(value, bool):
        return 2, value
    if isinstance(value, int):
        return 1, value
    if isinstance(value, str):
        return 3, value.encode()
    return 4, value


def key_rank(path: Path) -> list[tuple[str, bool, Any]]:
    """Sorts paths: by kind, ids before names."""
    return [
        (path[position], isinstance(path[position + 1], str), path[position + 1])
        for position in range(0, len(path), 2)
    ]


def holds(value: Any, operator: str, operand: Any) -> bool:
    """One comparison of one element."""
    if operator == "in":
        return any(holds(value, "=", each) for each in operand)
    if operator == "not in":
        return not holds(value, "in", operand)
    left, right = rank(value), rank(operand)
    return {
        "=": left == right,
        "!=": left != right,
        "<": left < right,
        "<=": left <= right,
        ">": left > right,
        ">=": left >= right,
    }[operator]


def elements(entity: dict[str, Any], name: str) -> list[Any]:
    """The indexed values of a property."""
    if name not in entity:
        return []
    return entity[name] if isinstance(entity[name], list) else [entity[name]]


def find(entities: Entities, asked: Asked) -> list[tuple[Path, dict[str, Any]]]:
    """The results in order: paths, with what a projection shows (else nothing)."""
    columns = _columns(asked)
    found: dict[tuple[Path, tuple[Any, ...]], list[Any]] = {}
    in_order: Any = cmp_to_key(lambda left, right: _compare(columns, left, right))
    for path, entity in entities.items():
        if path[-2] != asked.kind or (asked.ancestor and path[: len(asked.ancestor)] != asked.ancestor):
            continue
        rows = [row for each in asked.alternatives for row in _rows(entity, each, columns)]
        rows.sort(key=in_order)
        for row in rows if asked.projection else rows[:1]:
            found[path, tuple(map(rank, row))] = row
    descends = asked.orders[-1][0] == "-" if asked.orders else False
    results = sorted(((path, row) for (path, _), row in found.items()), key=lambda each: key_rank(each[0]))
    if descends:
        results.reverse()
    results.sort(key=lambda each: in_order(each[1]))
    if asked.distinct:
        results = list(_first_of_each(results, len(asked.distinct)))
    end = None if asked.limit is None else asked.offset + asked.limit
    names = [name for name, _ in columns]
    return [
        (path, {name: row[names.index(name)] for name in asked.projection})
        for path, row in results[asked.offset : end]
    ]


def _columns(asked: Asked) -> list[tuple[str, bool]]:
    """Property and whether it descends: the orders given, then what is implied."""
    columns = [(each.lstrip("-"), each[0] == "-") for each in asked.orders]
    descends = columns[-1][1] if columns else False

    def add(names: Iterable[str], down: bool) -> None:
        columns.extend((name, down) for name in names if name not in [known for known, _ in columns])

    add(asked.distinct, descends)
    compared = {
        name for each in asked.alternatives for name, operator, _ in each if operator not in ("=", "in")
    }
    add(sorted(compared), descends)
    add(sorted(asked.projection), descends)
    return columns


def _rows(
    entity: dict[str, Any], conditions: Sequence[tuple[str, str, Any]], columns: list[tuple[str, bool]]
) -> list[list[Any]]:
    """Every choice of elements, one for each column, with which the entity satisfies the conditions."""
    equal: dict[str, list[Any]] = {}
    others: dict[str, list[tuple[str, Any]]] = {}
    for name, operator, operand in conditions:
        if operator == "=":
            equal.setdefault(name, []).append(operand)
        else:
            others.setdefault(name, []).append((operator, operand))
    choices: dict[str, list[Any]] = {}
    for name, operands in equal.items():
        if not all(any(holds(each, "=", operand) for each in elements(entity, name)) for operand in operands):
            return []
        choices[name] = operands
    for name, comparisons in others.items():
        of = choices.get(name, elements(entity, name))
        fitting = [each for each in of if all(holds(each, *comparison) for comparison in comparisons)]
        if not fitting or (name in equal and len(fitting) < len(of)):
            return []
        choices[name] = fitting
    return [list(row) for row in product(*(choices.get(name, elements(entity, name)) for name, _ in columns))]


def _compare(columns: list[tuple[str, bool]], left: Sequence[Any], right: Sequence[Any]) -> int:
    for (_, descends), one, other in zip(columns, left, right, strict=True):
        if rank(one) != rank(other):
            return -1 if (rank(one) < rank(other)) != descends else 1
    return 0


def _first_of_each(results: list[tuple[Path, list[Any]]], count: int) -> Iterable[tuple[Path, list[Any]]]:
    seen = set()
    for path, row in results:
        identity = tuple(map(rank, row[:count]))
        if identity not in seen:
            seen.add(identity)
            yield path, row
