"""Remembers the tasks that finished last, so that one of them can be delivered again on purpose."""

from collections import OrderedDict

from localcloud.tasks.delivery import Delivery

REMEMBERED_TASKS = 1000


class FinishedTasks:
    """The last delivery of each task that finished lately."""

    def __init__(self) -> None:
        self._deliveries: OrderedDict[tuple[str, str], Delivery] = OrderedDict()

    def remember(self, delivery: Delivery) -> None:
        """This delivery has finished its task."""
        key = (delivery.task.queue.id, delivery.task.id)
        self._deliveries[key] = delivery
        self._deliveries.move_to_end(key)
        if len(self._deliveries) > REMEMBERED_TASKS:
            self._deliveries.popitem(last=False)

    def find(self, task_id: str | None, queue_id: str | None) -> Delivery | None:
        """The task of that short name, or the one that finished last; None if it is not remembered."""
        for (found_queue, found_task), delivery in reversed(self._deliveries.items()):
            if task_id in (None, found_task) and queue_id in (None, found_queue):
                return delivery
        return None
