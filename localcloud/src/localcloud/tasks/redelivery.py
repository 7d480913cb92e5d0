"""Delivers a finished task once more, so that what an at-least-once queue may do can be watched."""

import asyncio

from localcloud.tasks.clock import Clock
from localcloud.tasks.counts import Counts
from localcloud.tasks.delivery import Delivery, Sender, send_aside
from localcloud.tasks.finished import FinishedTasks
from localcloud.tasks.outcome import Outcome


class Redelivery:
    """Sends the last delivery of a finished task again, with the same headers."""

    def __init__(self, finished: FinishedTasks, sender: Sender, clock: Clock, counts: Counts) -> None:
        self._finished = finished
        self._sender = sender
        self._clock = clock
        self._counts = counts

    def start(
        self, task_id: str | None, queue_id: str | None = None
    ) -> "tuple[Delivery, asyncio.Future[Outcome]] | None":
        """What is sent, and its outcome to come; None if no such task is remembered."""
        delivery = self._finished.find(task_id, queue_id)
        if delivery is None:
            return None
        ended: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()

        def end(outcome: Outcome) -> None:
            result = "success" if outcome.is_success else "failure"
            self._counts.note_delivery(result, len(delivery.task.message))
            self._counts.deliveries["redelivered"] += 1
            if not ended.cancelled():
                ended.set_result(outcome)

        send_aside(self._sender, self._clock, delivery, end)
        return delivery, ended
