"""The methods of google.cloud.tasks.v2beta3.CloudTasks that tell a queue's statistics, which v2 does not."""

from localcloud.tasks.broker import Broker
from localcloud.tasks.errors import invalid
from localcloud.tasks.grpc_methods import Method
from localcloud.tasks.messages import (
    BetaGetQueueRequest,
    BetaListQueuesRequest,
    BetaListQueuesResponse,
    BetaQueue,
    Message,
    set_us,
)
from localcloud.tasks.names import check_location
from localcloud.tasks.pages import Pages, page_size
from localcloud.tasks.queue import Queue
from localcloud.tasks.queue_filter import parse_filter
from localcloud.tasks.queue_messages import beta_queue_message, queue_message
from localcloud.tasks.queue_methods import MAX_PAGE_SIZE, QueueMethods


class StatisticsMethods:
    """GetQueue and ListQueues of v2beta3."""

    def __init__(self, broker: Broker, queues: QueueMethods, pages: Pages) -> None:
        self._broker = broker
        self._queues = queues
        self._pages = pages

    def methods(self) -> dict[str, Method]:
        return {
            "GetQueue": Method(BetaGetQueueRequest, self.get_queue),
            "ListQueues": Method(
                BetaListQueuesRequest, self.list_queues, lambda _, answer: len(answer.queues)
            ),
        }

    async def get_queue(self, request: Message) -> Message:
        return self._masked(self._broker.queue(request.name), request.read_mask)

    async def list_queues(self, request: Message) -> Message:
        parent = check_location(request.parent)
        size = page_size(request.page_size, MAX_PAGE_SIZE)
        passes = parse_filter(request.filter)
        of = f"{parent} {request.filter}"
        start = self._pages.position(request.page_token, of) + 1
        found = [queue for queue in self._queues.queues_under(parent) if passes(queue_message(queue))]
        response = BetaListQueuesResponse()
        response.queues.extend(
            self._masked(queue, request.read_mask) for queue in found[start : start + size]
        )
        if len(found) > start + size:
            response.next_page_token = self._pages.token(of, start + size - 1)
        return response

    def _masked(self, queue: Queue, mask: Message) -> Message:
        """Real service: without a mask all fields but the statistics (v2beta3 GetQueueRequest.read_mask)."""
        message = beta_queue_message(queue)
        if not mask.paths:
            return message
        # On the wire the field is called `type`; only the Python client adds the underscore.
        mask.paths[:] = ["type_" if path == "type" else path for path in mask.paths]
        if "*" not in mask.paths and not mask.IsValidForDescriptor(BetaQueue.DESCRIPTOR):
            raise invalid(f"read_mask has {', '.join(mask.paths)}. Expected fields of Queue, or *.")
        self._add_statistics(queue, message.stats)
        if "*" in mask.paths:
            return message
        shown = BetaQueue()
        mask.MergeMessage(message, shown)
        return shown

    def _add_statistics(self, queue: Queue, stats: Message) -> None:
        stats.tasks_count = len(queue.tasks)
        stats.concurrent_dispatches_count = queue.in_flight
        stats.executed_last_minute_count = queue.executed_last_minute(self._broker.clock.now_us())
        stats.effective_execution_rate = self._broker.dispatcher(queue).effective_rate_per_second
        task = queue.next_task()
        if task is not None:
            set_us(stats.oldest_estimated_arrival_time, task.eta_us)
