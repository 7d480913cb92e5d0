"""The query that a page's address asks for: a kind, filters, an order."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from localcloud.console import scanning
from localcloud.console.errors import Problem
from localcloud.console.keys import Database, completed, parse_key
from localcloud.console.typed_json import parse_json
from localcloud.console.value_text import TYPES, TypedText, guessed_value, parse_value
from localcloud.console.web import Fields
from localcloud.datastore import messages as m
from localcloud.datastore.catalog import Partition
from localcloud.datastore.errors import Refused
from localcloud.datastore.index_requirements import needed_index
from localcloud.datastore.query_plan import parse_query

GUESSED = "by its look"
OPERATORS = {
    "=": "EQUAL",
    "!=": "NOT_EQUAL",
    "<": "LESS_THAN",
    "<=": "LESS_THAN_OR_EQUAL",
    ">": "GREATER_THAN",
    ">=": "GREATER_THAN_OR_EQUAL",
    "IN": "IN",
    "NOT IN": "NOT_IN",
    "HAS ANCESTOR": "HAS_ANCESTOR",
}
ALL_OPERATORS = (*OPERATORS, *scanning.OPERATORS)
_KEY = "__key__"


@dataclass(frozen=True, slots=True)
class FilterText:
    """A filter as it is typed."""

    property: str = ""
    operator: str = "="
    type: str = GUESSED
    value: str = ""


@dataclass(frozen=True, slots=True)
class View:
    """What a list of entities shows. An empty kind means all kinds."""

    kind: str
    filters: Sequence[FilterText]
    order: str

    @staticmethod
    def of(fields: Fields) -> View:
        columns = [fields.all(name) for name in ("property", "operator", "type", "value")]
        rows = zip(*columns, strict=False)
        return View(
            fields.get("kind"),
            [FilterText(name.strip(), *rest) for name, *rest in rows if name.strip()],
            fields.get("order").strip(),
        )

    def params(self) -> dict[str, Any]:
        """The inverse of `of`, for an address."""
        return {
            "kind": self.kind,
            "property": [each.property for each in self.filters],
            "operator": [each.operator for each in self.filters],
            "type": [each.type for each in self.filters],
            # Empty texts stay in the lists, so that the four stay in step.
            "value": [each.value for each in self.filters],
            "order": self.order,
        }

    @property
    def columns(self) -> list[str]:
        """The properties that the view is about: they come first."""
        orders = [name for name, _ in _orders(self.order)]
        names = [*(each.property for each in self.filters), *orders]
        return [name for name in dict.fromkeys(names) if name != _KEY]

    def query(self, where: Database) -> Any:
        """The Query message, without the filters that need a scan. Raises Problem."""
        query = m.Query()
        if self.kind:
            query.kind.add(name=self.kind)
        for number, each in enumerate(self.filters, 1):
            if each.operator in scanning.OPERATORS:
                continue
            added = query.filter.composite_filter.filters.add().property_filter
            try:
                _add_filter(added, each, where)
            except Problem as problem:
                raise Problem(f"Filter {number} ({each.property}): {problem.text}") from None
        if query.filter.composite_filter.filters:
            query.filter.composite_filter.op = m.CompositeFilter.AND
        for name, is_descending in _orders(self.order):
            order = query.order.add(direction="DESCENDING" if is_descending else "ASCENDING")
            order.property.name = name
        return query

    def tests(self) -> list[scanning.Test]:
        """The filters that need a scan. Raises Problem."""
        return [
            scanning.test_of(each.property, each.operator, each.value)
            for each in self.filters
            if each.operator in scanning.OPERATORS
        ]


def missing_indexes(where: Database, query: Any) -> list[str]:
    """The entries of index.yaml without which App Engine would refuse the query."""
    try:
        plan = parse_query(query, Partition(0, where.project, where.database, where.namespace))
    except Refused:
        return []
    needed = (needed_index(plan, alternative) for alternative in plan.alternatives)
    return list(dict.fromkeys(each.as_yaml() for each in needed if each is not None))


def _add_filter(message: Any, given: FilterText, where: Database) -> None:
    if given.operator not in OPERATORS:
        raise Problem(f"The operator {given.operator!r} is unknown. Expected {', '.join(ALL_OPERATORS)}.")
    message.property.name = given.property
    message.op = m.PropertyFilter.Operator.Value(OPERATORS[given.operator])
    if given.operator in ("IN", "NOT IN"):
        found = parse_json(given.value)
        if not isinstance(found, list):
            raise Problem(f'{given.value!r} is not a list. Expected values in JSON, such as [1, 2] or ["a"].')
        for each in found:
            # A text in the list is a string, unless a type is chosen; the rest is what JSON says.
            text = each if isinstance(each, str) and given.type != GUESSED else json.dumps(each)
            message.value.array_value.values.append(_value(text, given, where))
    else:
        message.value.CopyFrom(_value(given.value, given, where))


def _value(text: str, given: FilterText, where: Database) -> Any:
    if given.property == _KEY or given.operator == "HAS ANCESTOR":
        return m.Value(key_value=parse_key(text, where))
    if given.type == GUESSED:
        value = guessed_value(text)
    elif given.type in TYPES:
        value = parse_value(TypedText(given.type, text))
    else:
        raise Problem(f"The type {given.type!r} is unknown. Expected one of {', '.join(TYPES)}.")
    if value.HasField("key_value"):
        completed(value.key_value, where)
    return value


def _orders(text: str) -> list[tuple[str, bool]]:
    """`-created, name`: by created, descending, then by name."""
    found = []
    for part in filter(None, (each.strip() for each in text.split(","))):
        is_descending = part.startswith("-")
        found.append((part[1:] if is_descending else part, is_descending))
    return found
