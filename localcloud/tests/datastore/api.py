"""The service without a wire: requests are built from plain Python values, responses come as messages."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from localcloud.datastore import messages as m
from localcloud.datastore.clock import SECOND_US
from localcloud.datastore.service import Service

PROJECT = "test-project"
PATH = tuple[Any, ...]
Filter = tuple[str, str, Any]

_OPERATORS = {
    "=": "EQUAL",
    "<": "LESS_THAN",
    "<=": "LESS_THAN_OR_EQUAL",
    ">": "GREATER_THAN",
    ">=": "GREATER_THAN_OR_EQUAL",
    "!=": "NOT_EQUAL",
    "in": "IN",
    "not in": "NOT_IN",
    "ancestor": "HAS_ANCESTOR",
}


class StandingClock:
    """Stands still, but for a microsecond a look, until it is moved."""

    def __init__(self) -> None:
        self.now = 1_800_000_000 * SECOND_US

    def __call__(self) -> int:
        self.now += 1
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += int(seconds * SECOND_US)


def key(*path: Any, namespace: str = "", database: str = "", project: str = PROJECT) -> Any:
    """key("Kind", 1, "Child", "name"); an odd number of elements leaves the last one incomplete."""
    message = m.Key()
    message.partition_id.project_id = project
    message.partition_id.database_id = database
    message.partition_id.namespace_id = namespace
    for position in range(0, len(path), 2):
        element = message.path.add(kind=path[position])
        if position + 1 < len(path):
            setattr(element, "id" if isinstance(path[position + 1], int) else "name", path[position + 1])
    return message


def value(content: Any, *, indexed: bool = True) -> Any:
    """A Value of the type that suits the content."""
    message = m.Value()
    if isinstance(content, list):
        message.array_value.values.extend(value(each, indexed=indexed) for each in content)
        return message
    if content is None:
        message.null_value = 0
    elif isinstance(content, bool):
        message.boolean_value = content
    elif isinstance(content, int):
        message.integer_value = content
    elif isinstance(content, float):
        message.double_value = content
    elif isinstance(content, str):
        message.string_value = content
    elif isinstance(content, bytes):
        message.blob_value = content
    elif isinstance(content, datetime):
        message.timestamp_value.FromDatetime(content)
    elif isinstance(content, dict):
        message.entity_value.CopyFrom(entity(None, content))
    elif isinstance(content, m.Key):
        message.key_value.CopyFrom(content)
    else:
        message.CopyFrom(content)
    if not indexed:
        message.exclude_from_indexes = True
    return message


def plain(message: Any) -> Any:
    """What `value` was made of."""
    kind = message.WhichOneof("value_type")
    if kind == "array_value":
        return [plain(each) for each in message.array_value.values]
    if kind == "entity_value":
        return properties(message.entity_value)
    if kind == "null_value":
        return None
    if kind == "timestamp_value":
        return message.timestamp_value.ToDatetime()
    return getattr(message, kind)


def entity(of: Any, content: Mapping[str, Any], *, unindexed: Iterable[str] = ()) -> Any:
    """An Entity with these properties; `of` is its key, or a path."""
    message = m.Entity()
    if of is not None:
        message.key.CopyFrom(key(*of) if isinstance(of, tuple) else of)
    for name, each in content.items():
        message.properties[name].CopyFrom(value(each, indexed=name not in unindexed))
    return message


def properties(message: Any) -> dict[str, Any]:
    """The properties of an Entity as plain values."""
    return {name: plain(each) for name, each in message.properties.items()}


def path_of(message: Any) -> PATH:
    """The path of a Key as `key` takes it."""
    found: list[Any] = []
    for each in message.path:
        found += [each.kind, each.id if each.HasField("id") else each.name]
    return tuple(found)


def condition(path: str, operator: str, content: Any) -> Any:
    """A filter on a property."""
    message = m.Filter()
    found = message.property_filter
    found.property.name = path
    found.op = m.PropertyFilter.Operator.Value(_OPERATORS[operator])
    found.value.CopyFrom(value(content))
    return message


def every(*filters: Any) -> Any:
    """A filter that holds where all do."""
    return _composite("AND", filters)


def either(*filters: Any) -> Any:
    """A filter that holds where one does."""
    return _composite("OR", filters)


def query(
    kind: str | None = None,
    *filters: Filter | Any,
    order: Sequence[str] = (),
    projection: Sequence[str] = (),
    distinct: Sequence[str] = (),
    limit: int | None = None,
    offset: int = 0,
    start: bytes = b"",
    end: bytes = b"",
) -> Any:
    """A Query; all filters must hold; `order` and `-order`."""
    message = m.Query(offset=offset, start_cursor=start, end_cursor=end)
    if kind is not None:
        message.kind.add(name=kind)
    if filters:
        message.filter.CopyFrom(
            every(*(condition(*each) if isinstance(each, tuple) else each for each in filters))
        )
    for name in order:
        added = message.order.add()
        added.property.name = name.removeprefix("-")
        added.direction = m.PropertyOrder.Direction.Value("DESCENDING" if name[0] == "-" else "ASCENDING")
    for name in projection:
        message.projection.add().property.name = name
    for name in distinct:
        message.distinct_on.add().name = name
    if limit is not None:
        message.limit.value = limit
    return message


def _composite(operator: str, filters: Sequence[Any]) -> Any:
    message = m.Filter()
    message.composite_filter.op = m.CompositeFilter.Operator.Value(operator)
    message.composite_filter.filters.extend(filters)
    return message


def upsert(of: Any, **content: Any) -> Any:
    return m.Mutation(upsert=entity(of, content))


def insert(of: Any, **content: Any) -> Any:
    return m.Mutation(insert=entity(of, content))


def update(of: Any, **content: Any) -> Any:
    return m.Mutation(update=entity(of, content))


def delete(of: Any) -> Any:
    return m.Mutation(delete=key(*of) if isinstance(of, tuple) else of)


class Api:
    """Calls a service's methods, in one database and namespace. What it refuses raises Refused."""

    def __init__(self, service: Service, database: str = "", namespace: str = "") -> None:
        self.service = service
        self._database = database
        self._namespace = namespace

    def call(self, method: str, response: Any, request: Any) -> Any:
        """Any method with any request."""
        methods: dict[str, Callable[[bytes, Callable[[], bool]], bytes]] = self.service.methods
        if not request.project_id:
            request.project_id = PROJECT
            request.database_id = self._database
        return response.FromString(methods[method](request.SerializeToString(), lambda: True))

    def key(self, *path: Any) -> Any:
        return key(*path, namespace=self._namespace, database=self._database)

    def begin(self, *, read_only: bool = False, read_time: int | None = None) -> bytes:
        """The id of a new transaction."""
        request = m.BeginTransactionRequest()
        if read_only:
            request.transaction_options.read_only.SetInParent()
        if read_time is not None:
            m.set_timestamp(request.transaction_options.read_only.read_time, read_time)
        found: bytes = self.call("BeginTransaction", m.BeginTransactionResponse, request).transaction
        return found

    def commit(self, *mutations: Any, transaction: bytes | None = None, mode: str | None = None) -> Any:
        """Without a transaction: not transactional, unless `mode` says "SINGLE_USE"."""
        request = m.CommitRequest(mutations=mutations)
        request.mode = m.CommitRequest.Mode.Value("NON_TRANSACTIONAL")
        if transaction is not None:
            request.transaction = transaction
        if mode == "SINGLE_USE":
            request.single_use_transaction.read_write.SetInParent()
        if transaction is not None or mode == "SINGLE_USE":
            request.mode = m.CommitRequest.Mode.Value("TRANSACTIONAL")
        return self.call("Commit", m.CommitResponse, request)

    def rollback(self, transaction: bytes) -> None:
        self.call("Rollback", m.RollbackResponse, m.RollbackRequest(transaction=transaction))

    def lookup(self, *keys: Any, transaction: bytes | None = None, read_time: int | None = None) -> Any:
        """The whole response; keys may be paths."""
        found = [self.key(*each) if isinstance(each, tuple) else each for each in keys]
        request = m.LookupRequest(keys=found)
        _read(request.read_options, transaction, read_time)
        return self.call("Lookup", m.LookupResponse, request)

    def get(self, *path: Any, transaction: bytes | None = None, read_time: int | None = None) -> Any:
        """The properties of one entity; None if it is not there."""
        found = self.lookup(path, transaction=transaction, read_time=read_time).found
        return properties(found[0].entity) if found else None

    def batch(self, asked: Any, *, transaction: bytes | None = None, read_time: int | None = None) -> Any:
        """The first QueryResultBatch."""
        return self.run(asked, transaction=transaction, read_time=read_time).batch

    def run(
        self, asked: Any, *, transaction: bytes | None = None, read_time: int | None = None, **more: Any
    ) -> Any:
        """The response to one RunQuery."""
        request = m.RunQueryRequest(query=asked, **more)
        request.partition_id.CopyFrom(self.key("Any", 1).partition_id)
        _read(request.read_options, transaction, read_time)
        return self.call("RunQuery", m.RunQueryResponse, request)

    def find(self, asked: Any, **options: Any) -> list[Any]:
        """All EntityResults, batch after batch, as a client library reads them."""
        asked = m.Query.FromString(asked.SerializeToString())
        found: list[Any] = []
        while True:
            batch = self.batch(asked, **options)
            found += batch.entity_results
            if batch.more_results != m.QueryResultBatch.MoreResultsType.Value("NOT_FINISHED"):
                return found
            asked.start_cursor = batch.end_cursor
            asked.offset -= batch.skipped_results
            if asked.HasField("limit"):
                asked.limit.value -= len(batch.entity_results)

    def names(self, asked: Any, **options: Any) -> list[Any]:
        """The ids or names of all results."""
        return [path_of(each.entity.key)[-1] for each in self.find(asked, **options)]

    def aggregate(self, asked: Any, *aggregations: Any, transaction: bytes | None = None) -> dict[str, Any]:
        """Aggregations as ("count", alias), ("count", alias, up_to) or ("sum" or "avg", alias, property)."""
        request = m.RunAggregationQueryRequest()
        request.aggregation_query.nested_query.CopyFrom(asked)
        for operator, alias, *rest in aggregations:
            added = request.aggregation_query.aggregations.add(alias=alias)
            if operator == "count":
                added.count.SetInParent()
                if rest:
                    added.count.up_to.value = rest[0]
            else:
                getattr(added, operator).property.name = rest[0]
        request.partition_id.CopyFrom(self.key("Any", 1).partition_id)
        _read(request.read_options, transaction, None)
        batch = self.call("RunAggregationQuery", m.RunAggregationQueryResponse, request).batch
        found = batch.aggregation_results[0].aggregate_properties
        # In order of name: a protobuf map keeps no order of its own.
        return {name: plain(each) for name, each in sorted(found.items())}


def _read(options: Any, transaction: bytes | None, read_time: int | None) -> None:
    if transaction is not None:
        options.transaction = transaction
    if read_time is not None:
        m.set_timestamp(options.read_time, read_time)
