"""What the disk does not hold yet: changes that were asked for, and changes that have happened."""

from collections.abc import Iterable
from typing import TypeAlias

from localcloud.tasks.queue import Queue
from localcloud.tasks.task import LiveTask, State

# A queue's number and the last part of a task's name.
Name: TypeAlias = tuple[int, str]


class Unwritten:
    """The changes since the last commit, by task or queue."""

    def __init__(self) -> None:
        # Have happened: kept until they are written.
        self.updates: dict[Name, LiveTask] = {}
        self.finished: dict[Name, tuple[LiveTask, int]] = {}  # and until when the name stays taken
        # Asked for: done to the queues once written, given up if they can't be.
        self.inserts: dict[Name, LiveTask] = {}
        self.removals: dict[Name, tuple[LiveTask, int]] = {}
        self.purges: dict[Queue, int] = {}

    def is_empty(self) -> bool:
        return not (self.has_happened() or self.inserts or self.removals or self.purges)

    def has_happened(self) -> bool:
        """Is there something that must be written, whoever waits for it?"""
        return bool(self.updates or self.finished)

    def concerns(self, name: Name) -> bool:
        """Is there anything about the task of that name?"""
        changes = (self.inserts, self.removals, self.updates, self.finished)
        return any(name in tasks for tasks in changes)

    def finish(self, task: LiveTask, expire_us: int) -> None:
        """The task is gone from its queue; its name stays taken until `expire_us`."""
        name = name_of(task)
        self.updates.pop(name, None)
        self.finished[name] = (task, expire_us)

    def apply(self) -> Iterable[Queue]:
        """All has been written: do to the queues what was asked for. The queues that have new tasks."""
        begun: dict[Queue, None] = {}
        for task in self.inserts.values():
            task.queue.add(task)
            begun[task.queue] = None
        for task, _ in self.removals.values():
            # It may have finished since.
            if task.state is not State.GONE:
                task.queue.remove(task)
        for queue, purge_us in self.purges.items():
            queue.purge_us = purge_us
        self.updates.clear()
        self.finished.clear()
        self.give_up()
        return begun

    def give_up(self) -> None:
        """Nothing could be written: what was asked for does not happen."""
        self.inserts.clear()
        self.removals.clear()
        self.purges.clear()

    def forget(self, queue: Queue) -> None:
        """The queue is gone with all its tasks; a later one may get its number."""
        for happened in (self.updates, self.finished):
            for name in [name for name in happened if name[0] == queue.number]:
                del happened[name]


def name_of(task: LiveTask) -> Name:
    return task.queue.number, task.id
