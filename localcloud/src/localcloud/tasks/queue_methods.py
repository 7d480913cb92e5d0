"""The methods of google.cloud.tasks.v2.CloudTasks that are about queues."""

from collections.abc import Callable

from localcloud.tasks.broker import Broker
from localcloud.tasks.errors import already_exists, invalid
from localcloud.tasks.grpc_methods import Method
from localcloud.tasks.messages import (
    CreateQueueRequest,
    DeleteQueueRequest,
    Empty,
    GetQueueRequest,
    ListQueuesRequest,
    ListQueuesResponse,
    Message,
    PauseQueueRequest,
    PurgeQueueRequest,
    ResumeQueueRequest,
    UpdateQueueRequest,
)
from localcloud.tasks.messages import Queue as QueueMessage
from localcloud.tasks.names import check_location, check_queue, shown
from localcloud.tasks.pages import Pages, page_size
from localcloud.tasks.queue import PAUSED, RUNNING, Queue
from localcloud.tasks.queue_config import QueueConfig
from localcloud.tasks.queue_filter import parse_filter
from localcloud.tasks.queue_messages import API_QUEUE, queue_config, queue_message, updated_config

# Real service: the largest page, and the default (ListQueuesRequest.page_size).
MAX_PAGE_SIZE = 9800

# Adds the settings that v2beta3 has and v2 has not.
Completion = Callable[[QueueConfig], QueueConfig]


def _as_it_is(config: QueueConfig) -> QueueConfig:
    return config


class QueueMethods:
    """CreateQueue, GetQueue, ListQueues, UpdateQueue, DeleteQueue, PurgeQueue, PauseQueue, ResumeQueue."""

    def __init__(self, broker: Broker, pages: Pages) -> None:
        self._broker = broker
        self._pages = pages

    def methods(self) -> dict[str, Method]:
        return {
            "CreateQueue": Method(CreateQueueRequest, self.create_queue),
            "GetQueue": Method(GetQueueRequest, self.get_queue),
            "ListQueues": Method(ListQueuesRequest, self.list_queues, lambda _, answer: len(answer.queues)),
            "UpdateQueue": Method(UpdateQueueRequest, self.update_queue),
            "DeleteQueue": Method(DeleteQueueRequest, self.delete_queue),
            "PurgeQueue": Method(PurgeQueueRequest, self.purge_queue),
            "PauseQueue": Method(PauseQueueRequest, self.pause_queue),
            "ResumeQueue": Method(ResumeQueueRequest, self.resume_queue),
        }

    async def create_queue(self, request: Message, complete: Completion = _as_it_is) -> Message:
        """We differ: the name of a deleted queue is free at once; the real service keeps it for days."""
        parent, name = check_location(request.parent), check_queue(request.queue.name)
        if not name.startswith(f"{parent}/queues/"):
            raise invalid(f"Queue name {shown(name)} must start with its parent, {parent}.")
        if name in self._broker.queues:
            raise already_exists(f"Queue already exists: {shown(name)}.")
        config = complete(queue_config(request.queue, API_QUEUE))
        return queue_message(self._broker.create_queue(name, config))

    async def get_queue(self, request: Message) -> Message:
        return queue_message(self._broker.queue(request.name))

    async def list_queues(self, request: Message) -> Message:
        parent = check_location(request.parent)
        size = page_size(request.page_size, MAX_PAGE_SIZE)
        passes = parse_filter(request.filter)
        # Real service: it is an error to change the filter between pages.
        of = f"{parent} {request.filter}"
        start = self._pages.position(request.page_token, of) + 1
        found = [message for message in map(queue_message, self.queues_under(parent)) if passes(message)]
        response = ListQueuesResponse()
        response.queues.extend(found[start : start + size])
        if len(found) > start + size:
            response.next_page_token = self._pages.token(of, start + size - 1)
        return response

    async def update_queue(self, request: Message, complete: Completion = _as_it_is) -> Message:
        """Real service: creates the queue if it is not there; name and state stay (UpdateQueueRequest)."""
        name, mask = check_queue(request.queue.name), request.update_mask
        if not mask.IsValidForDescriptor(QueueMessage.DESCRIPTOR):
            raise invalid(f"update_mask has {', '.join(mask.paths)}. Expected fields of Queue.")
        queue = self._broker.queues.get(name)
        if queue is None:
            config = complete(queue_config(request.queue, API_QUEUE))
            return queue_message(self._broker.create_queue(name, config))
        self._broker.configure(queue, complete(updated_config(queue, request.queue, mask)))
        return queue_message(queue)

    async def delete_queue(self, request: Message) -> Message:
        self._broker.delete_queue(self._broker.queue(request.name))
        return Empty()

    async def purge_queue(self, request: Message) -> Message:
        """We differ: takes effect at once; the real service takes up to a minute."""
        queue = self._broker.queue(request.name)
        self._broker.store.purge(queue)
        await self._broker.store.committed()
        return queue_message(queue)

    async def pause_queue(self, request: Message) -> Message:
        queue = self._broker.queue(request.name)
        self._broker.set_state(queue, PAUSED)
        return queue_message(queue)

    async def resume_queue(self, request: Message) -> Message:
        queue = self._broker.queue(request.name)
        self._broker.set_state(queue, RUNNING)
        return queue_message(queue)

    def queues_under(self, parent: str) -> list[Queue]:
        """Real service: in lexicographic order of their names (ListQueues)."""
        names = sorted(name for name in self._broker.queues if name.startswith(f"{parent}/queues/"))
        return [self._broker.queues[name] for name in names]
