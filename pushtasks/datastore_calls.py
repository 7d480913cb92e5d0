"""Datastore's calls as the application wants them: each with a deadline, none retried out of sight.

google-cloud-ndb's own retry sleeps up to 8 s at random, and once more after the last failure; it sends begin
and commit without a deadline; and it retries a failed rollback while the caller waits. None of that suits a
task. So ndb calls through the stub that is here.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import grpc
from google.api_core import exceptions as api
from google.cloud import ndb
from google.cloud.datastore_v1.types import CommitRequest, RollbackResponse

from pushtasks.delivery import Contention, DatastoreUnavailable
from pushtasks.fast_path import encode_flat

TOO_BUSY_OR_AWAY = (
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


class BoundedMethod:
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
        return translated(error) if isinstance(error, grpc.RpcError) else error

    def result(self) -> Any:
        return self._call.result()

    def cancel(self) -> Any:
        return self._call.cancel()


class _UnretriedMethod(BoundedMethod):
    """A stub's method that reads, once."""

    def future(self, request: Any, *, timeout: float | None, metadata: Any) -> Any:
        return _Unretried(super().future(request, timeout=timeout, metadata=metadata))


class _ForgottenMethod(BoundedMethod):
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


class _CommitMethod(BoundedMethod):
    """Adds to a transaction's commit what was put past ndb."""

    def __init__(self, method: Any, timeout_s: float, put: PutPastNdb) -> None:
        super().__init__(method, timeout_s)
        self._put = put

    def future(self, request: Any, *, timeout: float | None, metadata: Any) -> Any:
        message = CommitRequest.pb(request)
        if message.transaction and self._put.entities:
            for entity in self._put.entities:
                encode_flat(entity, message.mutations.add().upsert)
            self._put.entities = []
        return super().future(request, timeout=timeout, metadata=metadata)


class PutPastNdb(threading.local):
    """What this thread's transaction shall write besides what ndb writes."""

    def __init__(self) -> None:
        self.entities: list[ndb.Model] = []


class BoundedStub:
    """The stub that google-cloud-ndb calls through, with our deadlines."""

    def __init__(self, stub: Any, timeout_s: float, put: PutPastNdb) -> None:
        for name in ("begin_transaction", "allocate_ids", "reserve_ids"):
            setattr(self, name, BoundedMethod(getattr(stub, name), timeout_s))
        self.commit = _CommitMethod(stub.commit, timeout_s, put)
        self.lookup = _UnretriedMethod(stub.lookup, timeout_s)
        self.run_query = _UnretriedMethod(stub.run_query, timeout_s)
        self.run_aggregation_query = BoundedMethod(stub.run_aggregation_query, timeout_s)
        # The server drops a transaction that is not rolled back after 60 s idle.
        self.rollback = _ForgottenMethod(stub.rollback, timeout_s)


def translated(error: grpc.RpcError) -> Exception:
    """What a call failed with, in the application's words where it has one."""
    failure: Exception = api.from_grpc_error(error)  # type: ignore[no-untyped-call]
    if isinstance(failure, (api.Aborted, *TOO_BUSY_OR_AWAY)):
        return as_task_failure(failure)
    return failure


def as_task_failure(error: Exception) -> Contention | DatastoreUnavailable:
    if isinstance(error, api.Aborted):
        return Contention(f"Datastore aborted the transaction: {error.message}")
    return DatastoreUnavailable(f"Datastore did not answer: {error}")
