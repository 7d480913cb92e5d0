"""Datastore messages made and read without ndb's models, where those would take most of the time."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from google.cloud.datastore_v1.types import (
    CompositeFilter,
    Key,
    PropertyFilter,
    PropertyOrder,
    RunAggregationQueryRequest,
)

Conditions = Sequence[tuple[str, str, str | datetime]]
"""For each: a property, `=` or `<=`, and a value."""

_OPERATORS = {"=": PropertyFilter.Operator.EQUAL, "<=": PropertyFilter.Operator.LESS_THAN_OR_EQUAL}


def key_of(project: str, kind: str, name: str) -> Any:
    key = Key.pb()()
    key.partition_id.project_id = project
    key.path.add(kind=kind, name=name)
    return key


def plain_value(value: Any) -> Any:
    match value.WhichOneof("value_type"):
        case "integer_value":
            return value.integer_value
        case "timestamp_value":
            return value.timestamp_value.ToDatetime(UTC)
        case "string_value":
            return value.string_value
        case "blob_value":
            return value.blob_value
    return None


def count_request(project: str, kind: str, conditions: Conditions, most: int) -> Any:
    request = RunAggregationQueryRequest.pb()(project_id=project)
    request.partition_id.project_id = project
    count = request.aggregation_query.aggregations.add(alias="count").count
    count.up_to.value = most
    query = request.aggregation_query.nested_query
    query.kind.add(name=kind)
    if conditions:
        query.filter.composite_filter.op = CompositeFilter.Operator.AND
    for name, operator, value in conditions:
        condition = query.filter.composite_filter.filters.add().property_filter
        condition.property.name = name
        condition.op = _OPERATORS[operator]
        if operator == "<=":
            # Latest first, as the lists are: served by the same composite index.
            order = query.order.add(direction=PropertyOrder.Direction.DESCENDING)
            order.property.name = name
        if isinstance(value, datetime):
            condition.value.timestamp_value.FromDatetime(value)
        else:
            condition.value.string_value = value
    return RunAggregationQueryRequest.wrap(request)
