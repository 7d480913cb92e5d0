"""BatchCreateTasks and BatchDeleteTasks: many tasks in one call, each with its own result.

Both answer with an operation that is already done: the client library reads its metadata at once.
"""

import asyncio
import uuid
from collections import OrderedDict
from collections.abc import Callable, Coroutine
from typing import Any, TypeAlias

import grpc

from localcloud.tasks.broker import Broker
from localcloud.tasks.errors import ApiError, invalid, not_found
from localcloud.tasks.grpc_methods import Method
from localcloud.tasks.messages import (
    BatchCreateTasksMetadata,
    BatchCreateTasksRequest,
    BatchCreateTasksResponse,
    BatchDeleteTasksMetadata,
    BatchDeleteTasksRequest,
    Empty,
    GetOperationRequest,
    Message,
    Operation,
    set_us,
)
from localcloud.tasks.names import split_task
from localcloud.tasks.queue import Queue
from localcloud.tasks.task_methods import checked_view
from localcloud.tasks.task_view import describe

# Real service: BatchCreateTasksRequest.requests, BatchDeleteTasksRequest.names.
MAX_CREATED = 100
MAX_DELETED = 1000
# How many operations are remembered, for GetOperation and for a repeated request_id.
REMEMBERED_OPERATIONS = 100
NONE_SUCCEEDED = (
    "None of the requests succeeded, refer to BatchDeleteTasksMetadata.failed_requests "
    "for individual error details"
)

# Metadata, and the response; None if nothing at all succeeded.
Result: TypeAlias = tuple[Message, Message | None]


class BatchMethods:
    """Creates and deletes tasks in batches, and keeps the operations that tell the results."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self._operations: OrderedDict[str, Message] = OrderedDict()
        self._running: dict[str, asyncio.Future[Message]] = {}

    def methods(self) -> dict[str, Method]:
        return {
            "BatchCreateTasks": Method(
                BatchCreateTasksRequest, self.batch_create_tasks, lambda request, _: len(request.requests)
            ),
            "BatchDeleteTasks": Method(
                BatchDeleteTasksRequest, self.batch_delete_tasks, lambda request, _: len(request.names)
            ),
        }

    def operation_methods(self) -> dict[str, Method]:
        """Of google.longrunning.Operations."""
        return {"GetOperation": Method(GetOperationRequest, self.get_operation)}

    async def batch_create_tasks(self, request: Message) -> Message:
        self._broker.queue(request.parent)
        if not 1 <= len(request.requests) <= MAX_CREATED:
            raise invalid(f"requests has {len(request.requests):,} items. Expected 1 to {MAX_CREATED}.")
        for index, item in enumerate(request.requests):
            if item.parent and item.parent != request.parent:
                raise invalid(
                    f"requests[{index}].parent is {item.parent!r}. Expected the batch's, {request.parent!r}."
                )
        return await self._once(request, "create", lambda: self._create(request))

    async def batch_delete_tasks(self, request: Message) -> Message:
        queue = self._broker.queue(request.parent)
        if not 1 <= len(request.names) <= MAX_DELETED:
            raise invalid(f"names has {len(request.names):,} items. Expected 1 to {MAX_DELETED:,}.")
        return await self._once(request, "delete", lambda: self._delete(queue, request))

    async def get_operation(self, request: Message) -> Message:
        operation = self._operations.get(request.name)
        if operation is None:
            raise not_found(
                f"Operation {request.name!r} was not found; the last {REMEMBERED_OPERATIONS:,} are kept."
            )
        return operation

    async def _create(self, request: Message) -> Result:
        queue = self._broker.queue(request.parent)
        metadata = BatchCreateTasksMetadata()
        set_us(metadata.start_time, self._broker.clock.now_us())
        response = BatchCreateTasksResponse()
        for index, item in enumerate(request.requests):
            try:
                view = checked_view(item.response_view)
                task = self._broker.create(queue, item.task)
            except ApiError as error:
                _set_status(metadata.failed_requests[index], error)
                continue
            describe(task, item.task, view)
            response.tasks.append(item.task)
        # Also for the refusals: a name may be taken by a task that is only about to be written.
        await self._broker.store.settled()
        set_us(metadata.end_time, self._broker.clock.now_us())
        state = BatchCreateTasksMetadata.State
        metadata.state = state.PARTIALLY_SUCCEEDED if metadata.failed_requests else state.SUCCEEDED
        return metadata, response

    async def _delete(self, queue: Queue, request: Message) -> Result:
        metadata = BatchDeleteTasksMetadata()
        set_us(metadata.start_time, self._broker.clock.now_us())
        for index, task_name in enumerate(request.names):
            try:
                if split_task(task_name)[0] != queue.name:
                    raise invalid(f"names[{index}] is not a task of {queue.name}.")
                self._broker.delete(self._broker.task(task_name))
            except ApiError as error:
                _set_status(metadata.failed_requests[index], error)
        await self._broker.store.settled()
        set_us(metadata.end_time, self._broker.clock.now_us())
        state = BatchDeleteTasksMetadata.State
        metadata.state = state.PARTIALLY_SUCCEEDED if metadata.failed_requests else state.SUCCEEDED
        if len(metadata.failed_requests) == len(request.names):
            # Real service: then the operation itself has failed (BatchDeleteTasksMetadata.State).
            return metadata, None
        return metadata, Empty()

    async def _once(
        self, request: Message, kind: str, run: Callable[[], Coroutine[Any, Any, Result]]
    ) -> Message:
        """The operation of `request`: that of an earlier call with its request_id, or a new one.

        Real service: request_id identifies the operation, so that a repeated call is not applied twice.
        """
        location = request.parent.partition("/queues/")[0]
        name = f"{location}/operations/{kind}-{request.request_id or uuid.uuid4()}"
        if name in self._operations:
            return self._operations[name]
        running = self._running.get(name)
        if running is None:
            # A separate asyncio task: if one caller gives up, others who wait for it still get the result.
            running = self._running[name] = asyncio.ensure_future(self._run(name, run))
        return await asyncio.shield(running)

    async def _run(self, name: str, run: Callable[[], Coroutine[Any, Any, Result]]) -> Message:
        try:
            metadata, response = await run()
            return self._remember(name, metadata, response)
        finally:
            del self._running[name]

    def _remember(self, name: str, metadata: Message, response: Message | None) -> Message:
        operation = Operation(name=name, done=True)
        operation.metadata.Pack(metadata)
        if response is None:
            operation.error.code = grpc.StatusCode.ABORTED.value[0]
            operation.error.message = NONE_SUCCEEDED
        else:
            operation.response.Pack(response)
        self._operations[name] = operation
        if len(self._operations) > REMEMBERED_OPERATIONS:
            self._operations.popitem(last=False)
        return operation


def _set_status(status: Message, error: ApiError) -> None:
    status.code = error.code.value[0]
    status.message = error.message
