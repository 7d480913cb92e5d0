"""Waits until queues have nothing left to do."""

import asyncio
import sqlite3
from collections.abc import Iterable

from localcloud.tasks.broker import Broker
from localcloud.tasks.faults import FaultySender
from localcloud.tasks.queue import Queue
from localcloud.tasks.store import Store

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

    def is_quiet() -> bool:
        queues = (queue for queue in broker.queues.values() if queue_id in (None, queue.id))
        return not faults.duplicates_in_flight and _are_idle(queues)

    # Once more at the end: what was written may have been new tasks.
    while not (is_quiet() and await _is_written(broker.store) and is_quiet()):
        left = end - loop.time()
        if left <= 0:
            return False
        await asyncio.sleep(min(CHECK_SECONDS, left))
    return True


async def _is_written(store: Store) -> bool:
    try:
        await store.settled()
    except sqlite3.Error:
        return False
    return True


def _are_idle(queues: Iterable[Queue]) -> bool:
    return all(not queue.tasks and not queue.in_flight for queue in queues)
