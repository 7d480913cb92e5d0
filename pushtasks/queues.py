"""Cloud Tasks, as far as the application needs it: one channel, and the application's own exceptions."""

from __future__ import annotations

import os
import urllib.request
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property, partial
from http.client import HTTPException
from typing import Any, TypeVar

import grpc
from google.api_core import exceptions as api
from google.api_core.operation import Operation
from google.auth.exceptions import DefaultCredentialsError
from google.cloud import tasks_v2
from google.cloud.tasks_v2.services.cloud_tasks.transports import CloudTasksGrpcTransport
from google.longrunning import operations_pb2

from pushtasks import logs
from pushtasks.channels import to_server_at_home
from pushtasks.datastore_calls import CLIENT_ERRORS
from pushtasks.delivery import DUE_AT_HEADER, ENQUEUED_AT_HEADER, PARENT_HEADER, TRACE_HEADER
from pushtasks.errors import NoBatches, NotThere, OutcomeUnknown, QueueRefused, TaskExists
from pushtasks.settings import Settings
from pushtasks.task import AnyTask

T = TypeVar("T")

MOST_TASKS_A_BATCH = 100
"""BatchCreateTasks takes no more (its docstring)."""

_CREATE_TASK = "/google.cloud.tasks.v2.CloudTasks/CreateTask"
_CALL_TIMEOUT_S = 5.0
_UNKNOWN_OUTCOME_CODES = frozenset(
    {
        None,  # no answer at all
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.DEADLINE_EXCEEDED,
        grpc.StatusCode.INTERNAL,
        grpc.StatusCode.UNKNOWN,
        grpc.StatusCode.ABORTED,
        grpc.StatusCode.CANCELLED,
        grpc.StatusCode.RESOURCE_EXHAUSTED,
    }
)

_Task = tasks_v2.Task.pb()
_CreateTaskRequest = tasks_v2.CreateTaskRequest.pb()
_BatchCreateTasksRequest = tasks_v2.BatchCreateTasksRequest.pb()


@dataclass(frozen=True, slots=True)
class NewTask:
    """A task to create."""

    name: str
    queue: str
    body: bytes
    path: str
    enqueued_at: datetime
    due_at: datetime | None = None
    """When it is first to be tried; None: at once."""
    service: str = "worker"
    content_type: str = "application/json"
    parent: str = ""
    """Of a follow-up: KIND/NAME of the task that asked for it."""
    trace: str = field(default_factory=logs.trace.get)
    """The trace of the request that makes this task; the worker's log lines refer to it."""


def find_location(settings: Settings) -> str:
    """The queues' region: the setting, or else the metadata server's answer.

    App Engine sets no variable for it; see "Python 3 Runtime Environment", metadata server.
    """
    if settings.location:
        return settings.location
    host = os.environ.get("GCE_METADATA_HOST", "metadata.google.internal")
    request = urllib.request.Request(
        f"http://{host}/computeMetadata/v1/instance/region", headers={"Metadata-Flavor": "Google"}
    )
    try:
        with urllib.request.urlopen(request, timeout=2) as answer:
            return str(answer.read().decode()).rpartition("/")[2]
    except (OSError, HTTPException) as error:
        raise QueueRefused(
            f"The queues' region is not known: LOCATION_ID is not set, and the metadata server at {host} "
            f"did not tell it ({error}). Set LOCATION_ID, for instance to us-central1."
        ) from error


class TaskQueues:
    """The application's queues. One per process; threads may share it. Nothing is sent before first use."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    @cached_property
    def client(self) -> tasks_v2.CloudTasksClient:
        if self._settings.tasks_emulator:
            channel = to_server_at_home(self._settings.tasks_emulator)
            return tasks_v2.CloudTasksClient(transport=CloudTasksGrpcTransport(channel=channel))
        return answered(tasks_v2.CloudTasksClient)

    @cached_property
    def _send_create(self) -> Callable[..., bytes]:
        """CreateTask, from bytes to bytes."""
        transport: Any = self.client.transport  # of which only the gRPC one has a channel
        call: Callable[..., bytes] = transport.grpc_channel.unary_unary(_CREATE_TASK)
        return call

    @cached_property
    def _parent(self) -> str:
        return f"projects/{self._settings.project}/locations/{find_location(self._settings)}/queues/"

    def path_of(self, queue: str, task: str | None = None) -> str:
        """The full name of a queue, or of a task in it."""
        return self._parent + queue + (f"/tasks/{task}" if task else "")

    def create(self, task: NewTask) -> None:
        """Create a task. Raises TaskExists, OutcomeUnknown or QueueRefused.

        Past the client's method, on its channel: what that adds besides the routing header, and reading an
        answer that nobody needs, take a third of the time.
        """
        request = self._create_request(task)
        routing = ("x-goog-request-params", f"parent={request.parent}")
        message = request.SerializeToString()
        answered(lambda: self._send_create(message, timeout=_CALL_TIMEOUT_S, metadata=(routing,)))

    def create_batch(self, tasks: Sequence[NewTask]) -> list[Exception | None]:
        """Create up to 100 tasks of one queue in one call: for each, None or what `create` would raise.

        Raises NoBatches if the server has no BatchCreateTasks.
        """
        try:
            request = _BatchCreateTasksRequest(
                parent=self.path_of(tasks[0].queue), requests=[self._create_request(task) for task in tasks]
            )
            wrapped = tasks_v2.BatchCreateTasksRequest.wrap(request)
            begun: Any = self.client.batch_create_tasks(wrapped, timeout=2 * _CALL_TIMEOUT_S, retry=None)
            operation = self._polled(begun.operation)
            broken = operation.exception(timeout=2 * _CALL_TIMEOUT_S)
        except api.MethodNotImplemented as error:
            raise NoBatches("This server has no BatchCreateTasks.") from error
        except QueueRefused as refused:  # before anything was sent
            return [refused] * len(tasks)
        except (*CLIENT_ERRORS, TimeoutError) as error:
            return [as_queue_error(error)] * len(tasks)
        failed = operation.metadata.failed_requests if operation.metadata else {}
        if broken is not None and not failed:
            # The operation itself failed, and doesn't say how far it got (BatchCreateTasksMetadata.State).
            return [_unknown(broken)] * len(tasks)
        return [
            as_queue_error(api.from_grpc_status(failed[index].code, failed[index].message))  # type: ignore[no-untyped-call]
            if index in failed
            else None
            for index in range(len(tasks))
        ]

    def get(self, task: str, queue: str) -> tasks_v2.Task | None:
        """A pending task with its payload; None if no task has that name.

        Raises OutcomeUnknown or QueueRefused.
        """
        request = tasks_v2.GetTaskRequest(
            name=self.path_of(queue, task), response_view=tasks_v2.Task.View.FULL
        )
        try:
            return answered(lambda: self.client.get_task(request, timeout=_CALL_TIMEOUT_S, retry=None))
        except NotThere:
            return None

    def check(self, kinds: Iterable[AnyTask]) -> None:
        """Open the channel, and raise QueueRefused if a kind's queue is not there, or disabled."""
        for kind in kinds:
            for queue in kind.queues:
                try:
                    found = self._queue(queue)
                except NotThere:
                    raise _not_of_queue_yaml(kind, queue, "which does not exist") from None
                if found.state == tasks_v2.Queue.State.DISABLED:
                    # Uploading a queue.yaml without it does that: it takes tasks, and delivers none.
                    state = "which is disabled: its tasks are not delivered"
                    raise _not_of_queue_yaml(kind, queue, state)

    def _polled(self, begun: operations_pb2.Operation) -> Any:
        """The operation, asked for with a deadline: the client's own would be tried for ten minutes."""
        operations: Any = self.client.transport.operations_client
        ask = partial(operations.get_operation, begun.name, retry=None, timeout=_CALL_TIMEOUT_S)
        return Operation(  # type: ignore[no-untyped-call]
            begun,
            ask,
            lambda: None,
            tasks_v2.BatchCreateTasksResponse,
            metadata_type=tasks_v2.BatchCreateTasksMetadata,
        )

    def _queue(self, name: str) -> tasks_v2.Queue:
        path = self.path_of(name)
        return answered(lambda: self.client.get_queue(name=path, timeout=_CALL_TIMEOUT_S, retry=None))

    def _create_request(self, task: NewTask) -> Any:
        message = _Task(name=self.path_of(task.queue, task.name))
        target = message.app_engine_http_request
        target.http_method = tasks_v2.HttpMethod.POST
        target.relative_uri = task.path
        target.app_engine_routing.service = task.service
        target.headers["Content-Type"] = task.content_type
        target.headers[ENQUEUED_AT_HEADER] = f"{task.enqueued_at.timestamp():.6f}"
        if task.due_at is not None:
            target.headers[DUE_AT_HEADER] = f"{task.due_at.timestamp():.6f}"
            message.schedule_time.FromDatetime(task.due_at)
        if task.parent:
            target.headers[PARENT_HEADER] = task.parent
        if task.trace:
            target.headers[TRACE_HEADER] = task.trace
        target.body = task.body
        return _CreateTaskRequest(parent=self.path_of(task.queue), task=message)


def _not_of_queue_yaml(kind: AnyTask, queue: str, state: str) -> QueueRefused:
    return QueueRefused(
        f"{type(kind).__name__}.queues names the queue {queue!r}, {state}. "
        f"Expected a queue of queue.yaml: add it there and deploy it, or change the declaration."
    )


def answered(call: Callable[[], T]) -> T:
    """What a call of the client library gives. Raises TaskExists, OutcomeUnknown, QueueRefused or NotThere,
    and none of the library's own exceptions.
    """
    try:
        return call()
    except CLIENT_ERRORS as error:
        failure = as_queue_error(error)
        raise failure from failure.__cause__


def as_queue_error(error: BaseException) -> Exception:
    """A failed call's error as one of the application's exceptions; the client library's is its cause."""
    if isinstance(error, grpc.RpcError):
        error = api.from_grpc_error(error)  # type: ignore[no-untyped-call]
    if isinstance(error, DefaultCredentialsError):
        failure: Exception = QueueRefused(
            "This process has no credentials for Cloud Tasks. Run it on App Engine, or set "
            "CLOUD_TASKS_EMULATOR_HOST."
        )
    elif not isinstance(error, api.GoogleAPICallError) or error.grpc_status_code in _UNKNOWN_OUTCOME_CODES:
        return _unknown(error)
    elif error.grpc_status_code is grpc.StatusCode.ALREADY_EXISTS:
        failure = TaskExists(str(error.message))
    elif error.grpc_status_code is grpc.StatusCode.NOT_FOUND:
        failure = NotThere(str(error.message))
    else:
        failure = QueueRefused(str(error.message))
    failure.__cause__ = error
    return failure


def _unknown(error: BaseException) -> OutcomeUnknown:
    failure = OutcomeUnknown("Cloud Tasks did not answer")
    failure.__cause__ = error
    return failure
