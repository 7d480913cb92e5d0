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
from google.auth.exceptions import GoogleAuthError
from google.cloud import ndb
from google.cloud.datastore_v1.types import CommitRequest, RollbackResponse

from counters.encoding import encode_flat
from counters.tasks import Contention, DatastoreFailed, DatastoreRefused, DatastoreUnavailable, TaskFailure

CLIENT_ERRORS = (api.GoogleAPIError, GoogleAuthError, grpc.RpcError)
"""What a call can fail with. RetryError is a GoogleAPIError, but no GoogleAPICallError."""

_Code = grpc.StatusCode
_FAILED = frozenset({_Code.INTERNAL, _Code.UNKNOWN, _Code.DATA_LOSS})
_REFUSED = frozenset(
    {
        _Code.INVALID_ARGUMENT,
        _Code.NOT_FOUND,
        _Code.ALREADY_EXISTS,
        _Code.PERMISSION_DENIED,
        _Code.UNAUTHENTICATED,
        _Code.FAILED_PRECONDITION,
        _Code.OUT_OF_RANGE,
        _Code.UNIMPLEMENTED,
    }
)


class _SentAndForgotten:
    """The future of a call whose answer nobody needs."""

    def add_done_callback(self, callback: Callable[[Any], None]) -> None:
        callback(self)

    def exception(self) -> None:
        return None

    def result(self) -> RollbackResponse:
        return RollbackResponse()


class _Unretried:
    """A call's future whose failures are in the application's words, which google-cloud-ndb doesn't retry.

    It would retry queries, where it does not honour `retries=0`, and a handler's plain `key.get()`, which
    does not ask for it, and sleep up to 15 s in all, in a transaction that may be dead.
    """

    def __init__(self, call: Any) -> None:
        self._call = call

    def add_done_callback(self, callback: Callable[[Any], None]) -> None:
        self._call.add_done_callback(lambda _: callback(self))

    def exception(self) -> BaseException | None:
        error: BaseException | None = self._call.exception()
        return as_task_failure(error) if isinstance(error, CLIENT_ERRORS) else error

    def result(self) -> Any:
        try:
            return self._call.result()
        except CLIENT_ERRORS as error:
            failure = as_task_failure(error)
            raise failure from failure.__cause__

    def cancel(self) -> Any:
        return self._call.cancel()


class BoundedMethod:
    """A stub's method that is tried once, and never waits without a deadline."""

    def __init__(self, method: Any, timeout_s: float) -> None:
        self._method = method
        self._timeout_s = timeout_s

    def future(self, request: Any, *, timeout: float | None, metadata: Any) -> Any:
        return _Unretried(self._method.future(request, timeout=timeout or self._timeout_s, metadata=metadata))


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
        if self._put.entities and message.transaction == self._put.transaction:
            for entity in self._put.entities:
                encode_flat(entity, message.mutations.add().upsert)
            self._put.entities = []
        # The message that has them, even if `pb` should give a copy one day.
        return super().future(CommitRequest.wrap(message), timeout=timeout, metadata=metadata)


class PutPastNdb(threading.local):
    """What this thread's transaction shall write besides what ndb writes."""

    def __init__(self) -> None:
        self.entities: list[ndb.Model] = []
        self.transaction: bytes = b""


class BoundedStub:
    """The stub that google-cloud-ndb calls through, with our deadlines."""

    def __init__(self, stub: Any, timeout_s: float, put: PutPastNdb) -> None:
        for name in ("begin_transaction", "allocate_ids", "reserve_ids"):
            setattr(self, name, BoundedMethod(getattr(stub, name), timeout_s))
        self.commit = _CommitMethod(stub.commit, timeout_s, put)
        self.lookup = BoundedMethod(stub.lookup, timeout_s)
        self.run_query = BoundedMethod(stub.run_query, timeout_s)
        self.run_aggregation_query = BoundedMethod(stub.run_aggregation_query, timeout_s)
        # The server drops a transaction that is not rolled back after 60 s idle.
        self.rollback = _ForgottenMethod(stub.rollback, timeout_s)


def as_task_failure(error: BaseException) -> TaskFailure:
    """What a call failed with, in the application's words; what the client library says is its cause."""
    if isinstance(error, grpc.RpcError):
        error = api.from_grpc_error(error)  # type: ignore[no-untyped-call]
    code = error.grpc_status_code if isinstance(error, api.GoogleAPICallError) else None
    failure: TaskFailure
    if code is _Code.ABORTED:
        failure = Contention("Others were changing the same data in Datastore")
    elif code in _REFUSED:
        failure = DatastoreRefused("Datastore refused the request", code)
    elif code in _FAILED:
        failure = DatastoreFailed("Datastore failed")
    else:
        failure = DatastoreUnavailable("Datastore did not answer")
    failure.__cause__ = error
    return failure
