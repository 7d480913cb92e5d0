"""What a query asks for: checked, with its implied sort orders made explicit."""

from __future__ import annotations

from dataclasses import dataclass

from localcloud.datastore import limits
from localcloud.datastore.catalog import Partition
from localcloud.datastore.errors import invalid, unimplemented
from localcloud.datastore.messages import Message, PropertyOrder
from localcloud.datastore.query_filters import KEY, Alternative, Filters, each_path, parse_filters

_DESCENDING = PropertyOrder.Direction.Value("DESCENDING")


@dataclass(frozen=True, slots=True)
class Column:
    """A property that the results are sorted by."""

    path: str
    is_descending: bool


@dataclass(frozen=True, slots=True)
class Plan:
    """A checked query. Results come in the order of `columns`, among which the key has its place."""

    partition: Partition
    kind: str | None
    filters: Filters
    columns: tuple[Column, ...]
    key_position: int
    """How many columns come before the key: all, unless the query is sorted by key explicitly."""
    is_key_descending: bool
    projection: tuple[str, ...]
    """Paths of a projection query, without the key; then each combination of elements is a result."""
    is_keys_only: bool
    distinct: int
    """How many of the first columns distinguish results; 0: each is a result."""
    offset: int
    limit: int | None
    start_cursor: bytes
    end_cursor: bytes

    @property
    def alternatives(self) -> list[Alternative]:
        return self.filters.alternatives

    @property
    def is_exploded(self) -> bool:
        """Is each combination of array elements a result of its own?"""
        return bool(self.projection)


def parse_query(query: Message, partition: Partition, summed: tuple[str, ...] = ()) -> Plan:
    """The plan of a Query message. Raises Refused for what the API does not allow.

    `summed` properties are projected instead of what the query asks for: an aggregation needs their values.
    """
    if len(query.kind) > 1:
        raise invalid("multiple kinds not supported")
    # We differ: there is no nearest-neighbour search.
    if query.HasField("find_nearest"):
        raise unimplemented("find_nearest is not supported by localcloud.datastore.")
    kind = query.kind[0].name if query.kind else None
    if kind is not None:
        limits.check_kind(kind)
    if query.offset < 0:
        raise invalid("The offset must not be negative.")
    limit = query.limit.value if query.HasField("limit") else None
    if limit is not None and limit < 0:
        raise invalid("The limit must not be negative.")
    filters = parse_filters(
        query, partition.prefix, partition.project, partition.database, partition.namespace
    )
    orders, is_key_descending = _orders(query)
    projection, is_keys_only = (summed, False) if summed else _projection(query, filters)
    distinct = list(dict.fromkeys(each.name for each in query.distinct_on))
    if any(not path or path == KEY for path in distinct):
        raise invalid("distinct_on must name properties.")
    if not filters.equalities.isdisjoint(distinct):
        raise invalid("Cannot use distinct_on on a property with an equality filter.")
    columns = _columns(orders, filters, projection, distinct)
    is_key_explicit = is_key_descending is not None
    if is_key_explicit and not {each.path for each in orders}.issuperset(distinct):
        raise invalid("The properties of distinct_on must come first in the orders.")
    if is_key_descending is None:
        is_key_descending = columns[len(orders) - 1].is_descending if orders else False
    if kind is None:
        _check_kindless(query, filters, columns, is_key_descending)
    return Plan(
        partition=partition,
        kind=kind,
        filters=filters,
        columns=columns,
        key_position=len(orders) if is_key_explicit else len(columns),
        is_key_descending=is_key_descending,
        projection=projection,
        is_keys_only=is_keys_only,
        distinct=len(distinct),
        offset=query.offset,
        limit=limit,
        start_cursor=query.start_cursor,
        end_cursor=query.end_cursor,
    )


def _orders(query: Message) -> tuple[list[Column], bool | None]:
    """The orders given, up to the key; and the key's direction, if it is among them."""
    orders: list[Column] = []
    for each in query.order:
        path = each.property.name
        if not path:
            raise invalid("An order must name its property.")
        if each.direction not in (0, 1, 2):
            raise invalid(f"The order by {path!r} must be ascending or descending.")
        is_descending = each.direction == _DESCENDING
        if path == KEY:
            return orders, is_descending
        if all(path != before.path for before in orders):
            orders.append(Column(path, is_descending))
    return orders, None


def _projection(query: Message, filters: Filters) -> tuple[tuple[str, ...], bool]:
    paths = [each.property.name for each in query.projection]
    if not paths:
        return (), False
    if "" in paths:
        raise invalid("A projection must name its property.")
    if len(set(paths)) < len(paths):
        raise invalid("A projection must not name a property twice.")
    for path in paths:
        if path in filters.equalities and path != KEY:
            raise invalid(f"cannot use projection on a property with an equality filter: {path}")
        if path != KEY:
            limits.check_property_name(path)
    without_key = tuple(path for path in paths if path != KEY)
    return without_key, not without_key


def _columns(
    orders: list[Column], filters: Filters, projection: tuple[str, ...], distinct: list[str]
) -> tuple[Column, ...]:
    """All sort columns: the given ones, then the implied ones.

    Real service: a query with inequalities is sorted by those properties, in the order of their names, after
    the orders given, in the direction of the last of them; and a projection by its properties likewise
    (observed on the Firestore emulator in Datastore mode).
    """
    given = {each.path for each in orders}
    if distinct and orders:
        leading = {each.path for each in orders[: len(distinct)]}
        if not (leading.issubset(distinct) or set(distinct).issubset(given & leading)):
            raise invalid("The properties of distinct_on must come first in the orders.")
    is_descending = orders[-1].is_descending if orders else False
    columns = list(orders)
    implied = [path for path in distinct if path not in given]
    implied += [path for path in filters.inequalities if path not in given and path not in implied]
    columns += [Column(path, is_descending) for path in implied]
    given.update(implied)
    columns += [Column(path, is_descending) for path in sorted(projection) if path not in given]
    return tuple(columns)


def _check_kindless(
    query: Message, filters: Filters, columns: tuple[Column, ...], is_descending: bool
) -> None:
    """Real service: "kind is required for non-__key__ filters" and orders (observed on both emulators)."""
    if columns or query.distinct_on or any(each_path(filters.alternatives)):
        raise invalid("kind is required for filters, orders and projections on properties other than __key__")
    if is_descending:
        raise invalid("kind is required for all orders except __key__ ascending")
