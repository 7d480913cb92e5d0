"""Datastore's calls as the application wants them: each with a deadline, none retried behind its back.

google-cloud-ndb's own retry sleeps up to 8 s at random, and once more after the last failure; it sends begin
and commit without a deadline; and it retries a failed rollback while the caller waits. None of that suits a
task. So ndb calls through the stub defined here.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import grpc
from google.api_core import exceptions as api
from google.auth.exceptions import GoogleAuthError
from google.cloud.datastore_v1.types import CommitRequest, RollbackResponse

from pushtasks.errors import (
    CommitTooLarge,
    Contention,
    DatastoreFailed,
    DatastoreRefused,
    DatastoreUnavailable,
    PlainAccess,
    TaskFailure,
    UnsentWrites,
)

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
    """A call's future that fails with the application's own exceptions, which google-cloud-ndb doesn't retry.

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


MOST_COMMIT_BYTES, MOST_COMMIT_ENTITIES = 8 * 1024 * 1024, 1000
"""A commit may hold 10 MiB ("Limits", Datastore docs); what is added on the way needs some space."""


def check_size(commit: Any) -> None:
    """Raises CommitTooLarge for a CommitRequest message that Datastore would refuse, or nearly."""
    entities, size = len(commit.mutations), commit.ByteSize()
    if entities > MOST_COMMIT_ENTITIES or size > MOST_COMMIT_BYTES:
        raise CommitTooLarge(
            f"{entities} entities of {size} bytes in one transaction. "
            f"Expected at most {MOST_COMMIT_ENTITIES} entities and {MOST_COMMIT_BYTES} bytes."
        )


class Watch(threading.local):
    """What this thread's transaction may do now, and what its commit must carry."""

    def __init__(self) -> None:
        self.applying = self.may_query = False
        self._expected: int | None = None

    @contextmanager
    def of_task(self, *, may_query: bool) -> Iterator[None]:
        """While a task is applied, everything goes through its unit of work."""
        self.applying, self.may_query = True, may_query
        try:
            yield
        finally:
            self.applying = self.may_query = False

    @contextmanager
    def of_engine(self) -> Iterator[None]:
        """The unit of work's own calls, in the middle of that."""
        was, self.applying = self.applying, False
        try:
            yield
        finally:
            self.applying = was

    def expect(self, mutations: int | None) -> None:
        """The commit that follows must carry this many mutations; None: nothing is expected of it."""
        self._expected = mutations

    def check_commit(self, commit: Any) -> None:
        """Raises UnsentWrites for a commit that carries something else."""
        if self._expected is None:
            return
        if len(commit.mutations) != self._expected:
            raise UnsentWrites(
                f"The commit carries {len(commit.mutations)} writes, and the tasks made {self._expected}. "
                f"A task must write through `work` alone."
            )
        self._expected = None

    def check_sent(self) -> None:
        """Raises UnsentWrites if no commit was sent for what was expected."""
        if self._expected is not None:
            raise UnsentWrites(
                f"{self._expected} writes were not sent, so nothing is applied: google-cloud-ndb no longer "
                "commits as expected. Install the release that requirements.txt names."
            )


class _WatchedMethod(BoundedMethod):
    """A method that a task may not call past its unit of work."""

    def __init__(self, method: Any, timeout_s: float, watch: Watch, *, is_query: bool = False) -> None:
        super().__init__(method, timeout_s)
        self._watch = watch
        self._is_query = is_query

    def future(self, request: Any, *, timeout: float | None, metadata: Any) -> Any:
        if self._watch.applying and not (self._is_query and self._watch.may_query):
            raise PlainAccess(
                "A task reads and writes through `work` (work.get, work.read, work.delete), so that tasks "
                "which share its transaction see it. Queries are for kinds with most_grouped = 1."
            )
        return super().future(request, timeout=timeout, metadata=metadata)


class _CommitMethod(_WatchedMethod):
    """Sends a commit only if it carries what it must."""

    def future(self, request: Any, *, timeout: float | None, metadata: Any) -> Any:
        message = CommitRequest.pb(request)
        if message.transaction:
            check_size(message)
            self._watch.check_commit(message)
        return super().future(request, timeout=timeout, metadata=metadata)


class BoundedStub:
    """The stub that google-cloud-ndb calls through, with our deadlines."""

    def __init__(self, stub: Any, timeout_s: float, watch: Watch) -> None:
        self.begin_transaction = BoundedMethod(stub.begin_transaction, timeout_s)
        self.allocate_ids = _WatchedMethod(stub.allocate_ids, timeout_s, watch)
        self.reserve_ids = _WatchedMethod(stub.reserve_ids, timeout_s, watch)
        self.lookup = _WatchedMethod(stub.lookup, timeout_s, watch)
        self.run_query = _WatchedMethod(stub.run_query, timeout_s, watch, is_query=True)
        self.run_aggregation_query = _WatchedMethod(
            stub.run_aggregation_query, timeout_s, watch, is_query=True
        )
        self.commit = _CommitMethod(stub.commit, timeout_s, watch)
        # The server drops a transaction that is not rolled back after 60 s idle.
        self.rollback = _ForgottenMethod(stub.rollback, timeout_s)


def as_task_failure(error: BaseException) -> TaskFailure:
    """A failed call's error as one of the application's exceptions; the client library's is its cause."""
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
