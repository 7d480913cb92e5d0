"""What a worker process shares between its request threads: it takes deliveries, and decides each."""

from __future__ import annotations

import atexit
import signal
from collections.abc import Mapping, Sequence
from types import FrameType
from typing import Any

from pushtasks import statistics
from pushtasks.applier import Applier, Received, Result
from pushtasks.database import Database
from pushtasks.delivery import Clock, Delivery, Outcome, utc_now
from pushtasks.enqueue import Tasks
from pushtasks.errors import is_own_failure
from pushtasks.failed_attempts import CallLater, FailedAttempts, in_a_thread
from pushtasks.failures import OwnFailures
from pushtasks.follow_ups import FollowUpCreator
from pushtasks.group import GroupCommitter
from pushtasks.queues import TaskQueues
from pushtasks.settings import Settings
from pushtasks.slots import Slot
from pushtasks.tally import Tally
from pushtasks.task import AnyTask, Kinds
from pushtasks.work import Lookup, UnitOfWork


class _Line:
    """What one kind's deliveries pass through."""

    def __init__(self, worker: Worker, task: AnyTask, clock: Clock) -> None:
        settings, database = worker.settings, worker.database
        self.task = task
        self.applier: Applier[Any] = Applier(
            task, database, settings, worker.slot, worker.kinds, clock, worker.failed
        )
        self.committer: GroupCommitter[Received[Any], Result] = GroupCommitter(
            self.applier.apply,
            worker.slot,
            min(task.most_grouped, settings.group_size),
            declared_keys=self.applier.declared_keys,
        )
        self.failures = OwnFailures(task, database, settings, worker.slot, clock)


class Worker:
    """One per process. Nothing is sent before the first delivery."""

    def __init__(
        self,
        settings: Settings,
        declared: Sequence[type[AnyTask]],
        *,
        without_queue: Sequence[type[AnyTask]] = (),
        clock: Clock = utc_now,
        call_later: CallLater = in_a_thread,
    ) -> None:
        """`without_queue` are kinds that nobody enqueues. Raises BadDeclaration."""
        self.settings = settings
        self.clock = clock
        self.kinds = Kinds(declared, settings)
        self.database = Database(settings.project, fast_path=settings.fast_path)
        self.slot = Slot(settings.slots)
        self.queues = TaskQueues(settings)
        self.failed = FailedAttempts(self._write_failures, clock, call_later)
        self.tasks = Tasks(self.kinds, self.queues, self.database, clock)
        self._follow_ups = FollowUpCreator(self.database, self.queues, self.kinds, settings, clock)
        served = [*self.kinds, *(kind(settings) for kind in without_queue)]
        self._lines = {task.name: _Line(self, task, clock) for task in served}

    def deliver(self, task: str, delivery: Delivery) -> Outcome:
        """Apply a task exactly once. Returns once its outcome is recorded and its follow-ups are created.

        Raises what the attempt failed with: a TaskFailure, OutcomeUnknown or QueueRefused (a follow-up that
        can't be created), or the task's own exception. Then it must be delivered again.
        """
        try:
            return self._deliver(task, delivery)
        except Exception:
            self.failed.count(task)
            raise

    def _deliver(self, task: str, delivery: Delivery) -> Outcome:
        line = self._lines[task]
        try:
            result = line.committer.commit(line.applier.receive(delivery))
        except Exception as error:
            if line.task.attempts is None or not is_own_failure(error):
                raise
            came_to = line.failures.count(delivery, error)
            if came_to is None:
                raise
            # Another delivery may have applied it, and died before it created what follows.
            self._follow_ups.create(task, delivery.name)
            return came_to
        if result.follow_ups:
            self._follow_ups.create(task, delivery.name)
        return result.outcome

    def _write_failures(self, task: str, failures: Mapping[int, int]) -> None:
        def body(lookup: Lookup) -> tuple[UnitOfWork, None]:
            unit = UnitOfWork(lookup, self.slot.number, self.clock())
            statistics.record(unit, task, Tally(), failures)
            return unit, None

        with self.database.context():
            self.database.unit_of_work(body)

    def close(self) -> None:
        """Refuse deliveries from now on; finish those that were accepted."""
        for line in self._lines.values():
            line.committer.close()

    def close_on_sigterm(self) -> None:
        """Close when the process is told to end, before gunicorn's own handler does its part.

        Failed attempts that are not written yet are written when it ends: a signal handler must not wait.
        """
        atexit.register(self.failed.flush)
        ends = signal.getsignal(signal.SIGTERM)

        def close_and_end(number: int, frame: FrameType | None) -> None:
            self.close()
            if callable(ends):
                ends(number, frame)

        signal.signal(signal.SIGTERM, close_and_end)
