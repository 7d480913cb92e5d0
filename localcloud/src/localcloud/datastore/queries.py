"""RunQuery and RunAggregationQuery: from requests to responses."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from localcloud.datastore import gql, limits, wire
from localcloud.datastore.aggregation import Aggregator, parse_aggregations, summed_paths
from localcloud.datastore.catalog import Partition
from localcloud.datastore.clock import SECOND_US, Clock
from localcloud.datastore.counts import Counts
from localcloud.datastore.cursors import Cursor, decode_cursor
from localcloud.datastore.errors import invalid
from localcloud.datastore.explain import add_execution, in_response, plan_summary
from localcloud.datastore.index_requirements import IndexRequirements
from localcloud.datastore.indexing import IndexedValues
from localcloud.datastore.messages import Message, QueryResultBatch
from localcloud.datastore.metadata_kinds import METADATA_KINDS, MetadataStream
from localcloud.datastore.property_paths import parse_mask
from localcloud.datastore.query_batch import BatchReader
from localcloud.datastore.query_locks import QueryLocks
from localcloud.datastore.query_plan import Plan, parse_query
from localcloud.datastore.query_sql import Source
from localcloud.datastore.query_stream import Stream
from localcloud.datastore.reading import RETENTION_SECONDS, View
from localcloud.datastore.storage import Storage

_NO_MORE_RESULTS: int = QueryResultBatch.MoreResultsType.Value("NO_MORE_RESULTS")


class Queries:
    """Runs queries on a storage."""

    def __init__(
        self,
        storage: Storage,
        counts: Counts,
        query_locks: QueryLocks,
        requirements: IndexRequirements | None,
        clock: Clock,
        *,
        needs_ancestor_in_transactions: bool,
    ) -> None:
        self._storage = storage
        self._counts = counts
        self._query_locks = query_locks
        self._requirements = requirements
        self._clock = clock
        self._needs_ancestor_in_transactions = needs_ancestor_in_transactions

    def run(self, request: Message, view: View) -> bytes:
        """RunQueryResponse: batch 1, query 2, transaction 5, explain_metrics 9."""
        began = time.perf_counter()
        partition = self._partition(request)
        query, told = _query(request, "query", partition, gql.parse_query)
        plan = parse_query(query, partition)
        mask = parse_mask(request.property_mask) if request.HasField("property_mask") else None
        if mask is not None and plan.projection:
            raise invalid("A query has either a projection or a property mask.")
        self._check_indexes(plan)
        response = told + (wire.field(5, view.new_transaction) if view.new_transaction else b"")
        metrics = plan_summary(plan, is_aggregation=False) if request.HasField("explain_options") else None
        if metrics is not None and not request.explain_options.analyze:
            return response + in_response(metrics)
        self._enter(plan, view)
        start = decode_cursor(plan.start_cursor, plan) if plan.start_cursor else None
        with self._source(view, start) as source:
            batch = BatchReader(plan, source, _stream(plan, source), mask).read(start)
        # Real service: a keys-only query is one read and otherwise small operations; one without results is
        # billed as a read, too ("Pricing").
        documents = 0 if plan.is_keys_only else batch.results
        self._counts.add(reads=max(1, documents), small_operations=batch.results - documents)
        if metrics is not None:
            add_execution(
                metrics,
                results=batch.results,
                reads=max(1, documents),
                rows_scanned=batch.rows_scanned,
                documents=documents,
                seconds=time.perf_counter() - began,
            )
            response += in_response(metrics)
        return wire.field(1, batch.content) + response

    def aggregate(self, request: Message, view: View) -> bytes:
        """RunAggregationQueryResponse: batch 1, query 2, transaction 5, explain_metrics 9."""
        began = time.perf_counter()
        partition = self._partition(request)
        query, told = _query(request, "aggregation_query", partition, gql.parse_aggregation_query)
        aggregations = parse_aggregations(query)
        paths = summed_paths(aggregations)
        plan = parse_query(query.nested_query, partition, paths)
        self._check_indexes(plan)
        response = told + (wire.field(5, view.new_transaction) if view.new_transaction else b"")
        metrics = plan_summary(plan, is_aggregation=True) if request.HasField("explain_options") else None
        if metrics is not None and not request.explain_options.analyze:
            return response + in_response(metrics)
        self._enter(plan, view)
        start = decode_cursor(plan.start_cursor, plan) if plan.start_cursor else None
        with self._source(view, start) as source:
            aggregator = Aggregator(plan, aggregations, source, _stream(plan, source), start)
            result = aggregator.result()
            read_time = wire.timestamp(source.version)
        self._counts.add(reads=aggregator.reads)
        if metrics is not None:
            add_execution(
                metrics,
                results=1,
                reads=aggregator.reads,
                rows_scanned=aggregator.rows_scanned,
                documents=0,
                seconds=time.perf_counter() - began,
            )
            response += in_response(metrics)
        batch = wire.field(1, result.SerializeToString()) + wire.number_field(2, _NO_MORE_RESULTS)
        return wire.field(1, batch + wire.field(3, read_time)) + response

    def _partition(self, request: Message) -> Partition:
        database = request.project_id, request.database_id
        namespace = ""
        if request.HasField("partition_id"):
            namespace = limits.check_partition(request.partition_id, *database)
        return self._storage.catalog.partition(*database, namespace)

    def _check_indexes(self, plan: Plan) -> None:
        if self._requirements is not None and plan.kind not in METADATA_KINDS:
            self._requirements.check(plan)

    def _enter(self, plan: Plan, view: View) -> None:
        """Note what a read-write transaction has queried: no commit may change that unnoticed."""
        transaction = view.transaction
        if transaction is None:
            return
        # Real service: of a database with entity groups, a transaction asks by ancestor only.
        if self._needs_ancestor_in_transactions and any(each.ancestor is None for each in plan.alternatives):
            raise invalid("Only ancestor queries are allowed inside transactions.")
        if transaction.is_read_only:
            return

        def sees(key: bytes, kind: str, values: IndexedValues) -> bool:
            return (plan.kind is None or plan.kind == kind) and any(
                each.holds(key, values) for each in plan.alternatives
            )

        self._query_locks.enter(transaction, sees)

    @contextmanager
    def _source(self, view: View, start: Cursor | None) -> Iterator[Source]:
        with self._storage.reading() as connection:
            latest = self._storage.snapshot_version(connection)
            version = view.version
            if version is None and view.transaction is None and start is not None and start.snapshot:
                # The next batch of a query that began a while ago: as long as its state is kept.
                oldest = self._clock() - RETENTION_SECONDS * SECOND_US
                version = start.snapshot if oldest < start.snapshot <= latest else None
            if version is None:
                version = latest
            yield Source(connection, self._storage.catalog, version, is_past=version < latest)


def _stream(plan: Plan, source: Source) -> Stream | MetadataStream:
    return MetadataStream(plan, source) if plan.kind in METADATA_KINDS else Stream(plan, source)


def _query(
    request: Message, expected: str, partition: Partition, parse_gql: Callable[[Message, Partition], Message]
) -> tuple[Message, bytes]:
    """The request's query; and the response's field `query`, which holds what a GQL string means."""
    kind = request.WhichOneof("query_type")
    if kind == "gql_query":
        query = parse_gql(request.gql_query, partition)
        return query, wire.field(2, query.SerializeToString())
    if kind != expected:
        raise invalid(f"The request must have a {expected} or a gql_query.")
    return getattr(request, expected), b""
