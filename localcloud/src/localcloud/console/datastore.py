"""What the console asks of Datastore: each method is one call, or a few."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from localcloud.console.calls import Calls
from localcloud.console.errors import Problem
from localcloud.console.keys import Database
from localcloud.datastore import messages as m

_SERVICE = "/google.datastore.v1.Datastore/"
# Real service: a commit writes at most 500 entities; below 10 MiB, whatever their sizes.
MOST_MUTATIONS = 500
_MOST_COMMIT_BYTES = 8 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Stored:
    """An entity as it is stored. `version` changes with each write; a query goes on after it at `cursor`."""

    entity: Any
    version: int
    cursor: bytes = b""


@dataclass(frozen=True, slots=True)
class Page:
    """A part of a query's results. `cursor` begins the next one; empty after the last."""

    results: Sequence[Stored]
    cursor: bytes
    query: Any


class Changed(Problem):
    """Somebody else has written the entity since it was looked at."""

    def __init__(self, text: str) -> None:
        super().__init__(text, HTTPStatus.CONFLICT)


class Datastore:
    """Datastore's methods, as the console needs them. All raise Refused."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls

    def lookup(self, key: Any) -> Stored | None:
        """The entity, or None."""
        request = m.LookupRequest(keys=[key])
        found = self._call("Lookup", request, m.LookupResponse, Database.of(key)).found
        return Stored(found[0].entity, found[0].version) if found else None

    def page(self, where: Database, query: Any, cursor: bytes = b"") -> Page:
        """Run the query as it is, from the cursor on."""
        request = m.RunQueryRequest()
        where.partition(request.partition_id)
        request.query.CopyFrom(query)
        if cursor:
            request.query.start_cursor = cursor
        return self._page(request, where, query)

    def gql(self, where: Database, text: str) -> Page:
        """Run a GQL string with its literals. The page's `query` is what the server made of it."""
        request = m.RunQueryRequest()
        where.partition(request.partition_id)
        request.gql_query.query_string = text
        request.gql_query.allow_literals = True
        return self._page(request, where, m.Query())

    def aggregate_gql(self, where: Database, text: str) -> dict[str, Any]:
        """Run a GQL string that counts, sums or averages: values by their aliases."""
        request = m.RunAggregationQueryRequest()
        where.partition(request.partition_id)
        request.gql_query.query_string = text
        request.gql_query.allow_literals = True
        answer = self._call("RunAggregationQuery", request, m.RunAggregationQueryResponse, where)
        return dict(answer.batch.aggregation_results[0].aggregate_properties)

    def each(self, where: Database, query: Any) -> Iterator[Stored]:
        """All results, batch by batch."""
        cursor = b""
        while True:
            page = self.page(where, query, cursor)
            yield from page.results
            if not page.cursor:
                return
            cursor = page.cursor

    def count(self, where: Database, query: Any, at_most: int | None = None) -> int:
        """How many results the query has; counting stops at `at_most`."""
        request = m.RunAggregationQueryRequest()
        where.partition(request.partition_id)
        request.aggregation_query.nested_query.CopyFrom(query)
        if at_most is not None:
            request.aggregation_query.nested_query.limit.value = at_most
        request.aggregation_query.aggregations.add(alias="n").count.SetInParent()
        answer = self._call("RunAggregationQuery", request, m.RunAggregationQueryResponse, where)
        return int(answer.batch.aggregation_results[0].aggregate_properties["n"].integer_value)

    def insert(self, entity: Any) -> Any:
        """Write a new entity; its key, completed. Raises Refused with ALREADY_EXISTS."""
        result = self._commit(Database.of(entity.key), [m.Mutation(insert=entity)])[0]
        return result.key if result.HasField("key") else entity.key

    def update(self, entity: Any, base_version: int) -> None:
        """Write an entity that nobody has written since `base_version`. Raises Changed."""
        mutation = m.Mutation(update=entity, base_version=base_version)
        if self._commit(Database.of(entity.key), [mutation])[0].conflict_detected:
            raise Changed("The entity was changed in the meantime: nothing was written.")

    def delete(self, key: Any, base_version: int) -> None:
        """Delete an entity that nobody has written since `base_version`. Raises Changed."""
        mutation = m.Mutation(delete=key, base_version=base_version)
        if self._commit(Database.of(key), [mutation])[0].conflict_detected:
            raise Changed("The entity was changed in the meantime: it was not deleted.")

    def delete_all(self, keys: Sequence[Any]) -> None:
        """Delete at most MOST_MUTATIONS entities of one database."""
        self._commit(Database.of(keys[0]), [m.Mutation(delete=key) for key in keys])

    def upsert_all(self, entities: Sequence[Any]) -> None:
        """Write entities of one database, in commits that are small enough."""
        mutations: list[Any] = []
        size = 0
        for entity in entities:
            mutation = m.Mutation(upsert=entity)
            bytes_ = mutation.ByteSize()
            if mutations and (len(mutations) == MOST_MUTATIONS or size + bytes_ > _MOST_COMMIT_BYTES):
                self._commit(Database.of(entity.key), mutations)
                mutations, size = [], 0
            mutations.append(mutation)
            size += bytes_
        if mutations:
            self._commit(Database.of(entities[0].key), mutations)

    def _commit(self, where: Database, mutations: Sequence[Any]) -> Sequence[Any]:
        request = m.CommitRequest(mode="NON_TRANSACTIONAL", mutations=mutations)
        results: Sequence[Any] = self._call("Commit", request, m.CommitResponse, where).mutation_results
        return results

    def _page(self, request: Any, where: Database, query: Any) -> Page:
        response = self._call("RunQuery", request, m.RunQueryResponse, where)
        batch = response.batch
        has_more = batch.more_results in (
            m.QueryResultBatch.NOT_FINISHED,
            m.QueryResultBatch.MORE_RESULTS_AFTER_LIMIT,
        )
        return Page(
            [Stored(each.entity, each.version, each.cursor) for each in batch.entity_results],
            batch.end_cursor if has_more else b"",
            response.query if response.HasField("query") else query,
        )

    def _call(self, method: str, request: Any, response: Any, where: Database) -> Any:
        request.project_id = where.project
        request.database_id = where.database
        routing = f"project_id={where.project}&database_id={where.database}"
        return self._calls.call(_SERVICE + method, request, response, routing)
