"""The connection to Datastore: contexts, transactions, and reading by key, by page and by count."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

import grpc
from google.cloud import ndb
from google.cloud.datastore_v1.services.datastore.transports import DatastoreGrpcTransport
from google.cloud.datastore_v1.types import LookupRequest, LookupResponse

from pushtasks.channels import to_server_at_home
from pushtasks.datastore_calls import BoundedMethod, BoundedStub, Watch
from pushtasks.errors import DatastoreRefused, Rejected
from pushtasks.messages import Conditions, count_request, key_of, plain_value
from pushtasks.work import Lookup, UnitOfWork

T = TypeVar("T")

_MOST_KEYS = 1000
"""Lookup takes no more ("Limits", Datastore docs)."""


class Database:
    """One per process; threads may share it. Every use needs a `context()`, one per request or group."""

    def __init__(self, project: str, timeout_s: float = 5.0, *, fast_path: bool = True) -> None:
        self._client = ndb.Client(project=project)
        self._watch = Watch()
        stub = self._client.stub
        if os.environ.get("DATASTORE_EMULATOR_HOST"):
            # ndb's own channel has connected nowhere yet, and never will.
            channel = to_server_at_home(self._client.host)
            stub = DatastoreGrpcTransport(host=self._client.host, channel=channel)
        self._client.stub = BoundedStub(stub, timeout_s, self._watch)
        self._timeout_s = timeout_s
        self._fast_path = fast_path

    @contextmanager
    def context(self) -> Iterator[None]:
        """What ndb needs around every use: one for each request or group, never shared between threads."""
        with self._client.context(legacy_data=False, cache_policy=_always) as context:
            # ndb would look the same up in the model's class for every key, at a fifth of a group's cost.
            context.set_datastore_policy(_always)
            yield

    def transaction(self, function: Callable[[], T]) -> T:
        """Run `function` once in a read-write transaction, with ndb's own calls in it.

        Raises Contention if others hold or have changed what it read (nothing was written), and
        DatastoreUnavailable if Datastore can't be reached in time: then, if the commit had been sent, it
        may have happened, or may still happen.
        """
        return ndb.transaction(function, retries=0)  # type: ignore[no-any-return]

    def unit_of_work(self, body: Callable[[Lookup], tuple[UnitOfWork, T]], *, queries: bool = False) -> T:
        """Run `body` once in a read-write transaction, and commit what its unit of work wrote.

        Raises what `transaction` raises, and CommitTooLarge before anything is sent. With `queries`, ndb's
        queries inside `body` belong to the transaction.
        """
        if self._fast_path and not queries:
            from pushtasks import fast_path  # not loaded where it is switched off

            return fast_path.run(self._client.stub, self._watch, self._client.project, body)

        def inside() -> T:
            unit, result = body(self._lookup)
            self._watch.expect(len(unit.puts) + len(unit.deletes))
            ndb.put_multi(unit.puts)
            ndb.delete_multi(unit.deletes)
            return result

        self._watch.expect(None)
        try:
            done = self.transaction(inside)
            self._watch.check_sent()
            return done
        finally:
            self._watch.expect(None)

    @contextmanager
    def task_applies(self, *, may_query: bool) -> Iterator[None]:
        """While a task is applied: its plain lookups and writes raise PlainAccess."""
        with self._watch.of_task(may_query=may_query):
            yield

    def _lookup(self, keys: Sequence[ndb.Key]) -> list[ndb.Model | None]:
        with self._watch.of_engine():
            return ndb.get_multi(keys, retries=0)  # type: ignore[no-any-return]

    def get(self, keys: Iterable[ndb.Key]) -> list[Any]:
        """The entities under `keys`, in one Lookup; None for each that is not there.

        In a transaction a later get of the same key is answered from ndb's cache. Outside of one it is asked
        again, for ndb remembers in a context even that something was not there.
        """
        if ndb.in_transaction():
            return ndb.get_multi(list(keys), retries=0)  # type: ignore[no-any-return]
        return ndb.get_multi(list(keys), retries=0, timeout=self._timeout_s, use_cache=False)  # type: ignore[no-any-return]

    def plain(self, kind: str, names: Sequence[str]) -> list[dict[str, Any] | None]:
        """The values of entities by property, in one Lookup for each 1,000; None for each that is not there.

        Outside of transactions, past ndb's models and cache: for many entities a tenth of the time.
        Whole numbers, times, texts and bytes only.
        """
        found: dict[str, dict[str, Any]] = {}
        wanted = [key_of(self._client.project, kind, name) for name in names]
        while wanted:
            request = LookupRequest.pb()(project_id=self._client.project, keys=wanted[:_MOST_KEYS])
            answer = LookupResponse.pb(self._call(self._client.stub.lookup, request))
            for result in answer.found:
                entity = result.entity
                found[entity.key.path[0].name] = {
                    name: plain_value(value) for name, value in entity.properties.items()
                }
            wanted = [*answer.deferred, *wanted[_MOST_KEYS:]]
        return [found.get(name) for name in names]

    def _call(self, method: BoundedMethod, request: Any) -> Any:
        metadata = [("x-goog-request-params", f"project_id={self._client.project}")]
        return method.future(request, timeout=None, metadata=metadata).result()

    def run_query(self, query: ndb.Query, limit: int, **options: Any) -> list[Any]:
        """The first `limit` entities that the query finds. Not for use inside a transaction."""
        return query.fetch(limit, timeout=self._timeout_s, **options)  # type: ignore[no-any-return]

    def run_page(self, query: ndb.Query, size: int, cursor: str | None) -> tuple[list[Any], str | None]:
        """A page of what the query finds, and the cursor of the next page, if there is one.

        Raises Rejected for a cursor that this query did not give.
        """
        try:
            start = ndb.Cursor(urlsafe=cursor.encode()) if cursor else None
            found, following, more = query.fetch_page(size, start_cursor=start, timeout=self._timeout_s)
        except ValueError:
            raise _bad_cursor(cursor) from None
        except DatastoreRefused as refused:
            if cursor and refused.code is grpc.StatusCode.INVALID_ARGUMENT:
                raise _bad_cursor(cursor) from None
            raise
        return found, following.urlsafe().decode() if more and following else None

    def counts(self, kind: str, conditions: Sequence[Conditions], most: int) -> list[int]:
        """How many entities of a kind meet each of the conditions, each counted up to `most`, at once.

        A condition is a property, an operator of `=`, `<=`, and a value. Reads no entities.
        """
        stub = self._client.stub
        requests = [count_request(self._client.project, kind, each, most) for each in conditions]
        metadata = [("x-goog-request-params", f"project_id={self._client.project}")]
        calls = [
            stub.run_aggregation_query.future(request, timeout=None, metadata=metadata)
            for request in requests
        ]
        results = [call.result().batch.aggregation_results[0] for call in calls]
        return [result.aggregate_properties["count"].integer_value for result in results]

    def put(self, entity: ndb.Model) -> None:
        """Write one entity outside of a transaction."""
        entity.put(retries=0, timeout=self._timeout_s)


def _bad_cursor(cursor: str | None) -> Rejected:
    return Rejected("cursor", cursor, "the `next` of an earlier page")


def _always(key: ndb.Key) -> bool:  # noqa: ARG001 - ndb's signature
    return True
