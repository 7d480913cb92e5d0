"""What a worker process shares between its request threads."""

from __future__ import annotations

import signal
from collections.abc import Sequence
from types import FrameType
from typing import TYPE_CHECKING, Any

from pushtasks.database import Database
from pushtasks.delivery import Outcome, TaskInfo
from pushtasks.group import GroupCommitter
from pushtasks.settings import Settings
from pushtasks.slots import Slot
from pushtasks.transaction import Applier, Delivery

if TYPE_CHECKING:
    from pushtasks.web.task_handler import TaskHandler


class WorkerProcess:
    """The connection to Datastore, this process's slot, and a committer for each handler."""

    def __init__(self, settings: Settings, handlers: Sequence[type[TaskHandler]]) -> None:
        self.settings = settings
        self.database = Database(settings.project)
        self.slot = Slot(settings.slots)
        self._appliers: dict[str, Applier[Any]] = {}
        self._committers: dict[str, GroupCommitter[Delivery[Any]]] = {}
        for handler in handlers:
            applier = Applier(handler.work(self), self.database, settings, self.slot)
            self._appliers[handler.name] = applier
            self._committers[handler.name] = GroupCommitter(
                applier.apply, self.slot, min(handler.most_grouped, settings.group_size)
            )

    def deliver(self, handler: str, task: TaskInfo) -> Outcome:
        """Apply the task exactly once. Returns once its outcome is recorded; raises TaskFailure otherwise."""
        return self._committers[handler].commit(self._appliers[handler].receive(task))

    def close(self) -> None:
        """Refuse what comes from now on; finish what was taken in."""
        for committer in self._committers.values():
            committer.close()

    def close_on_sigterm(self) -> None:
        """Close when the process is told to end, before gunicorn's own handler does its part."""
        ends = signal.getsignal(signal.SIGTERM)

        def close_and_end(number: int, frame: FrameType | None) -> None:
            self.close()
            if callable(ends):
                ends(number, frame)

        signal.signal(signal.SIGTERM, close_and_end)
