"""Waits until queues have nothing left to do."""

import asyncio
from collections.abc import Iterable

from localcloud.tasks.broker import Broker
from localcloud.tasks.faults import FaultySender
from localcloud.tasks.queue import Queue

CHECK_SECONDS = 0.01


async def wait_idle(
    broker: Broker, faults: FaultySender, timeout_seconds: float, queue_id: str | None = None
) -> bool:
    """True once no task is pending or under way, in the queues of that short name or in all, and that is on
    disk.

    False if that does not happen in time; a paused queue that holds tasks never is idle.
    """
    loop = asyncio.get_running_loop()
    end = loop.time() + timeout_seconds
    while faults.duplicates_in_flight or not _are_idle(
        queue for queue in broker.queues.values() if queue_id in (None, queue.id)
    ):
        left = end - loop.time()
        if left <= 0:
            return False
        await asyncio.sleep(min(CHECK_SECONDS, left))
    broker.store.flush()
    return True


def _are_idle(queues: Iterable[Queue]) -> bool:
    return all(not queue.tasks and not queue.in_flight for queue in queues)
