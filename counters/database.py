"""The connection to Datastore: contexts, and transactions whose retries and timeouts are ours.

google-cloud-ndb's own retry sleeps up to 8 s at random, and once more after the last failure; it sends begin
and commit without a deadline; and it retries a failed rollback while the caller waits. None of that suits a
task: here each call has a deadline, nothing is retried out of sight, and a rollback is sent and forgotten.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from typing import Any, TypeVar

import grpc
from google.api_core import exceptions as api
from google.cloud import ndb
from google.cloud.datastore_v1.services.datastore.transports import DatastoreGrpcTransport
from google.cloud.datastore_v1.types import (
    CommitRequest,
    LookupRequest,
    LookupResponse,
    RollbackResponse,
)

from counters.channels import to_server_at_home
from counters.encoding import decode, encode_flat, encode_key, identity_of, identity_of_key, is_flat
from counters.increments import InvalidPayload
from counters.plain_messages import Conditions, count_request, key_of, plain_value
from counters.tasks import Contention, DatastoreUnavailable

T = TypeVar("T")

_MOST_KEYS = 1000
"""Lookup takes no more ("Limits", Datastore docs)."""

_TOO_BUSY_OR_AWAY = (
    api.ServiceUnavailable,
    api.DeadlineExceeded,
    api.ResourceExhausted,
    api.TooManyRequests,
    ConnectionError,
)


class _SentAndForgotten:
    """The future of a call whose answer nobody needs."""

    def add_done_callback(self, callback: Callable[[Any], None]) -> None:
        callback(self)

    def exception(self) -> None:
        return None

    def result(self) -> RollbackResponse:
        return RollbackResponse()


class _BoundedMethod:
    """A stub's method that never waits without a deadline."""

    def __init__(self, method: Any, timeout_s: float) -> None:
        self._method = method
        self._timeout_s = timeout_s

    def future(self, request: Any, *, timeout: float | None, metadata: Any) -> Any:
        return self._method.future(request, timeout=timeout or self._timeout_s, metadata=metadata)


class _Unretried:
    """A call's future whose failures are in the application's words, which google-cloud-ndb doesn't retry.

    For queries, where ndb does not honour `retries=0`, and for a handler's plain `key.get()`, which does not
    ask for it: ndb would sleep up to 15 s in all, in a transaction that may be dead.
    """

    def __init__(self, call: Any) -> None:
        self._call = call

    def add_done_callback(self, callback: Callable[[Any], None]) -> None:
        self._call.add_done_callback(lambda _: callback(self))

    def exception(self) -> BaseException | None:
        error = self._call.exception()
        return _translated(error) if isinstance(error, grpc.RpcError) else error

    def result(self) -> Any:
        return self._call.result()

    def cancel(self) -> Any:
        return self._call.cancel()


class _UnretriedMethod(_BoundedMethod):
    """A stub's method that reads, once."""

    def future(self, request: Any, *, timeout: float | None, metadata: Any) -> Any:
        return _Unretried(super().future(request, timeout=timeout, metadata=metadata))


class _ForgottenMethod(_BoundedMethod):
    """A stub's method that never waits at all."""

    def __init__(self, method: Any, timeout_s: float) -> None:
        super().__init__(method, timeout_s)
        self._under_way: set[Any] = set()

    def future(self, request: Any, *, timeout: float | None, metadata: Any) -> Any:
        call = super().future(request, timeout=timeout, metadata=metadata)
        # gRPC cancels a call that nobody refers to.
        self._under_way.add(call)
        call.add_done_callback(self._under_way.discard)
        return _SentAndForgotten()


class _CommitMethod(_BoundedMethod):
    """Adds to a transaction's commit what was put past ndb."""

    def __init__(self, method: Any, timeout_s: float, put: _PutPastNdb) -> None:
        super().__init__(method, timeout_s)
        self._put = put

    def future(self, request: Any, *, timeout: float | None, metadata: Any) -> Any:
        message = CommitRequest.pb(request)
        if message.transaction and self._put.entities:
            for entity in self._put.entities:
                encode_flat(entity, message.mutations.add().upsert)
            self._put.entities = []
        return super().future(request, timeout=timeout, metadata=metadata)


class _PutPastNdb(threading.local):
    """What this thread's transaction shall write besides what ndb writes."""

    def __init__(self) -> None:
        self.entities: list[ndb.Model] = []


class _BoundedStub:
    """The stub that google-cloud-ndb calls through, with our deadlines."""

    def __init__(self, stub: Any, timeout_s: float, put: _PutPastNdb) -> None:
        for name in ("begin_transaction", "allocate_ids", "reserve_ids"):
            setattr(self, name, _BoundedMethod(getattr(stub, name), timeout_s))
        self.commit = _CommitMethod(stub.commit, timeout_s, put)
        self.lookup = _UnretriedMethod(stub.lookup, timeout_s)
        self.run_query = _UnretriedMethod(stub.run_query, timeout_s)
        self.run_aggregation_query = _BoundedMethod(stub.run_aggregation_query, timeout_s)
        # The server drops a transaction that is not rolled back after 60 s idle.
        self.rollback = _ForgottenMethod(stub.rollback, timeout_s)


class Database:
    """One per process; threads may share it. Every use needs a `context()`, one per request or group."""

    def __init__(self, project: str, timeout_s: float = 5.0) -> None:
        self._client = ndb.Client(project=project)
        self._put = _PutPastNdb()
        stub = self._client.stub
        if os.environ.get("DATASTORE_EMULATOR_HOST"):
            # ndb's own channel has connected nowhere yet, and never will.
            channel = to_server_at_home(self._client.host)
            stub = DatastoreGrpcTransport(host=self._client.host, channel=channel)
        self._client.stub = _BoundedStub(stub, timeout_s, self._put)
        self._timeout_s = timeout_s

    @contextmanager
    def context(self) -> Iterator[None]:
        """What ndb needs around every use: one for each request or group, never shared between threads."""
        with self._client.context(legacy_data=False, cache_policy=_always) as context:
            # ndb would look the same up in the model's class for every key, at a fifth of a group's cost.
            context.set_datastore_policy(_always)
            yield

    def transaction(self, function: Callable[[], T]) -> T:
        """Run `function` once in a read-write transaction.

        Raises Contention if others hold or changed what it read (nothing was written), and
        DatastoreUnavailable if Datastore can't be reached in time: then, if the commit had been sent, it
        may or may not have happened, or happen yet.
        """
        self._put.entities = []
        try:
            return ndb.transaction(function, retries=0)  # type: ignore[no-any-return]
        except (api.Aborted, *_TOO_BUSY_OR_AWAY) as error:
            raise as_task_failure(error) from error

    def put_all(self, entities: Iterable[ndb.Model]) -> None:
        """Write these with the transaction that runs, which must not get them again.

        Flat ones (`counters.encoding`) go past ndb, which takes ten times as long to write them.
        """
        if not ndb.in_transaction():
            raise RuntimeError("put_all is only for use in a transaction.")
        others: list[ndb.Model] = []
        for entity in entities:
            (self._put.entities if is_flat(entity) else others).append(entity)
        ndb.put_multi(others)

    def get(self, keys: Iterable[ndb.Key]) -> list[Any]:
        """The entities under `keys`, in one Lookup; None for each that is not there.

        In a transaction a later get of the same key is answered from ndb's cache. Outside of one it is asked
        again, for ndb remembers in a context even that something was not there.
        """
        keys = list(keys)
        if ndb.in_transaction():
            return self._get_in_transaction(keys)  # `transaction` translates, after ndb has rolled back
        try:
            return ndb.get_multi(keys, retries=0, timeout=self._timeout_s, use_cache=False)  # type: ignore[no-any-return]
        except (api.Aborted, *_TOO_BUSY_OR_AWAY) as error:
            raise as_task_failure(error) from error

    def _get_in_transaction(self, keys: Sequence[ndb.Key]) -> list[Any]:
        """What ndb's own get would give and remember, in a third of its time."""
        context = ndb.get_context()
        wanted = {identity_of_key(key): key for key in keys if key not in context.cache}
        while wanted:
            request = LookupRequest.pb()(project_id=self._client.project)
            request.read_options.transaction = context.transaction
            for key in islice(wanted.values(), _MOST_KEYS):
                encode_key(key, request.keys.add())
            answer = LookupResponse.pb(self._call(self._client.stub.lookup, request))
            for missing in answer.missing:
                context.cache[wanted.pop(identity_of(missing.entity.key))] = None
            for found in answer.found:
                context.cache[wanted.pop(identity_of(found.entity.key))] = decode(found.entity)
        return [context.cache[key] for key in keys]

    def plain(self, kind: str, names: Sequence[str]) -> list[dict[str, Any] | None]:
        """The values of entities by property, in one Lookup for each 1,000; None for each that is not there.

        Outside of transactions, past ndb's models and cache: for many entities a tenth of the time.
        Whole numbers, instants and texts only.
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

    def _call(self, method: _BoundedMethod, request: Any) -> Any:
        metadata = [("x-goog-request-params", f"project_id={self._client.project}")]
        try:
            return method.future(request, timeout=None, metadata=metadata).result()
        except grpc.RpcError as error:
            raise _translated(error) from error

    def run_query(self, query: ndb.Query, limit: int, **options: Any) -> list[Any]:
        """The first `limit` entities that the query finds. Not for use inside a transaction."""
        return query.fetch(limit, timeout=self._timeout_s, **options)  # type: ignore[no-any-return]

    def run_page(self, query: ndb.Query, size: int, cursor: str | None) -> tuple[list[Any], str | None]:
        """A page of what the query finds, and the cursor of the next page, if there is one.

        Raises InvalidPayload for a cursor that is none of this query's.
        """
        try:
            start = ndb.Cursor(urlsafe=cursor.encode()) if cursor else None
            found, following, more = query.fetch_page(size, start_cursor=start, timeout=self._timeout_s)
        except (ValueError, api.InvalidArgument):
            raise InvalidPayload("cursor", cursor, "the `next` of an earlier page") from None
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
        try:
            results = [call.result().batch.aggregation_results[0] for call in calls]
        except grpc.RpcError as error:
            raise _translated(error) from error
        return [result.aggregate_properties["count"].integer_value for result in results]

    def put(self, entity: ndb.Model) -> None:
        """Write one entity outside of a transaction."""
        try:
            entity.put(retries=0, timeout=self._timeout_s)
        except (api.Aborted, *_TOO_BUSY_OR_AWAY) as error:
            raise as_task_failure(error) from error


def _translated(error: grpc.RpcError) -> Exception:
    """What a call failed with, in the application's words where it has one."""
    failure: Exception = api.from_grpc_error(error)  # type: ignore[no-untyped-call]
    if isinstance(failure, (api.Aborted, *_TOO_BUSY_OR_AWAY)):
        return as_task_failure(failure)
    return failure


def _always(key: ndb.Key) -> bool:  # noqa: ARG001 - ndb's signature
    return True


def as_task_failure(error: Exception) -> Contention | DatastoreUnavailable:
    if isinstance(error, api.Aborted):
        return Contention(f"Datastore aborted the transaction: {error.message}")
    return DatastoreUnavailable(f"Datastore did not answer: {error}")
