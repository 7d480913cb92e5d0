"""A queue: its settings and state, and the tasks in it, those that wait ordered by their time."""

import heapq
from collections import deque
from collections.abc import Iterator

from localcloud.tasks.clock import SECOND_US
from localcloud.tasks.messages import Queue as QueueMessage
from localcloud.tasks.queue_config import QueueConfig
from localcloud.tasks.task import LiveTask, State

RUNNING: int = QueueMessage.State.Value("RUNNING")
PAUSED: int = QueueMessage.State.Value("PAUSED")
DISABLED: int = QueueMessage.State.Value("DISABLED")


class Queue:
    """The live tasks of one queue by id, and a heap of those that wait.

    The heap may hold entries that no longer count (deleted tasks, tasks with another time by now, tasks run
    by hand): they are dropped when they come up.
    """

    def __init__(
        self, number: int, name: str, config: QueueConfig, *, from_file: bool, state: int = RUNNING
    ) -> None:
        self.number = number  # its key in the store
        self.name = name
        self.id = name.rpartition("/")[2]
        self.config = config
        self.from_file = from_file  # from queue.yaml, not from CreateQueue
        self.state = state
        self.purge_us = 0  # the last purge; 0: never
        self.tasks: dict[str, LiveTask] = {}
        self.in_flight = 0
        self._waiting: list[tuple[int, int, LiveTask]] = []
        self._executed: deque[tuple[int, int]] = deque()  # (second, attempts that ended in it)

    def add(self, task: LiveTask) -> None:
        """Accept a new task, which waits from now on."""
        self.tasks[task.id] = task
        self.wait(task)

    def wait(self, task: LiveTask) -> None:
        """Let a task of this queue wait for its `eta_us`."""
        task.state = State.WAITING
        heapq.heappush(self._waiting, (task.eta_us, task.seq, task))

    def remove(self, task: LiveTask) -> None:
        """The task is finished or deleted. An attempt that is under way ends by itself."""
        task.state = State.GONE
        del self.tasks[task.id]
        if not self.tasks:
            self._waiting.clear()

    def clear(self) -> list[LiveTask]:
        """Remove all tasks, and return them."""
        removed = list(self.tasks.values())
        for task in removed:
            task.state = State.GONE
        self.tasks.clear()
        self._waiting.clear()
        return removed

    def next_task(self) -> LiveTask | None:
        """The waiting task whose time comes first; it stays where it is."""
        waiting = self._waiting
        while waiting:
            eta_us, _, task = waiting[0]
            if task.state is State.WAITING and task.eta_us == eta_us:
                return task
            heapq.heappop(waiting)
        return None

    def pop(self) -> None:
        """Remove the task that next_task() has just returned from those that wait."""
        heapq.heappop(self._waiting)

    def note_executed(self, now_us: int) -> None:
        """An attempt has ended, one way or the other."""
        second = now_us // SECOND_US
        executed = self._executed
        if executed and executed[-1][0] == second:
            executed[-1] = (second, executed[-1][1] + 1)
        else:
            executed.append((second, 1))
            while executed[0][0] <= second - 60:
                executed.popleft()

    def executed_last_minute(self, now_us: int) -> int:
        """How many attempts ended in the last minute, successes and failures."""
        since = now_us // SECOND_US - 60
        return sum(count for second, count in self._executed if second > since)

    def in_order_of_creation(self) -> Iterator[LiveTask]:
        """All live tasks, oldest first (a dictionary keeps the order in which they came)."""
        return iter(self.tasks.values())
