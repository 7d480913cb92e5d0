"""The methods of google.cloud.tasks.v2beta3.CloudTasks: v2's own, with v2beta3's messages around them."""

from __future__ import annotations

from localcloud.tasks.beta_messages import translated, v2_mask, v2_queue, with_ttls
from localcloud.tasks.broker import Broker
from localcloud.tasks.grpc_methods import Method
from localcloud.tasks.messages import (
    BetaCreateQueueRequest,
    BetaCreateTaskRequest,
    BetaDeleteQueueRequest,
    BetaDeleteTaskRequest,
    BetaGetTaskRequest,
    BetaListTasksRequest,
    BetaListTasksResponse,
    BetaPauseQueueRequest,
    BetaPurgeQueueRequest,
    BetaResumeQueueRequest,
    BetaRunTaskRequest,
    BetaTask,
    BetaUpdateQueueRequest,
    CreateQueueRequest,
    Empty,
    FieldMask,
    Message,
    UpdateQueueRequest,
)
from localcloud.tasks.queue_messages import beta_queue_message
from localcloud.tasks.queue_methods import QueueMethods
from localcloud.tasks.statistics_methods import StatisticsMethods
from localcloud.tasks.task_methods import TaskMethods


class BetaMethods:
    """v2beta3 as far as v2 has it, and the statistics."""

    def __init__(
        self, broker: Broker, queues: QueueMethods, tasks: TaskMethods, statistics: StatisticsMethods
    ) -> None:
        self._broker = broker
        self._queues = queues
        self._v2 = {**tasks.methods(), **queues.methods()}
        self._statistics = statistics

    def methods(self) -> dict[str, Method]:
        return {
            "CreateQueue": Method(BetaCreateQueueRequest, self.create_queue),
            "UpdateQueue": Method(BetaUpdateQueueRequest, self.update_queue),
            "DeleteQueue": self._translating("DeleteQueue", BetaDeleteQueueRequest, Empty),
            "PurgeQueue": self._on_queue("PurgeQueue", BetaPurgeQueueRequest),
            "PauseQueue": self._on_queue("PauseQueue", BetaPauseQueueRequest),
            "ResumeQueue": self._on_queue("ResumeQueue", BetaResumeQueueRequest),
            "ListTasks": self._translating("ListTasks", BetaListTasksRequest, BetaListTasksResponse),
            "GetTask": self._translating("GetTask", BetaGetTaskRequest, BetaTask),
            "CreateTask": self._translating("CreateTask", BetaCreateTaskRequest, BetaTask),
            "DeleteTask": self._translating("DeleteTask", BetaDeleteTaskRequest, Empty),
            "RunTask": self._translating("RunTask", BetaRunTaskRequest, BetaTask),
            **self._statistics.methods(),
        }

    async def create_queue(self, request: Message) -> Message:
        create = CreateQueueRequest(parent=request.parent, queue=v2_queue(request.queue))
        created = await self._queues.create_queue(
            create, lambda config: with_ttls(config, request.queue, FieldMask())
        )
        return self._told(created)

    async def update_queue(self, request: Message) -> Message:
        mask = request.update_mask
        update = UpdateQueueRequest(queue=v2_queue(request.queue), update_mask=v2_mask(mask))
        updated = await self._queues.update_queue(
            update, lambda config: with_ttls(config, request.queue, mask)
        )
        return self._told(updated)

    def _on_queue(self, name: str, request_class: Message) -> Method:
        """A method that answers with its queue."""
        method = self._v2[name]

        async def run(request: Message) -> Message:
            return self._told(await method.run(translated(request, method.request)))

        return Method(request_class, run)

    def _translating(self, name: str, request_class: Message, response_class: Message) -> Method:
        """A method whose response has the same fields in both versions."""
        method = self._v2[name]

        async def run(request: Message) -> Message:
            return translated(await method.run(translated(request, method.request)), response_class)

        return Method(request_class, run, method.bill)

    def _told(self, queue: Message) -> Message:
        return beta_queue_message(self._broker.queue(queue.name))
