"""Many pending tasks run now, or deleted: those that an administrator selected, or all that a filter means.

The rules are those of kept tasks: at most 1,000 at once, and of "all" only those that existed when the page
asked (`RetryFilter.cutoff`).
"""

from __future__ import annotations

from collections import Counter as Tallies
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta

from pushtasks import deletion
from pushtasks.database import Database
from pushtasks.delivery import Clock, utc_now
from pushtasks.errors import PushTasksError, Rejected
from pushtasks.kept_tasks import MOST_AT_ONCE
from pushtasks.queue_control import QueueControl

PendingTask = tuple[str, str]
"""Its queue, and its name."""

TRIED = "tried"
GONE = "not there any more: applied, or deleted before"


@dataclass(frozen=True, slots=True)
class RetrySummary:
    """What happened to several pending tasks: how many had each outcome."""

    counts: dict[str, int]
    changed: int

    @property
    def sentence(self) -> str:
        parts = [f"{number:,} {what}" for what, number in self.counts.items()]
        return "; ".join(parts) if parts else "nothing to do"


class RetryActions:
    """One per process; threads may share it."""

    def __init__(
        self, database: Database, control: QueueControl, record_life: timedelta, clock: Clock = utc_now
    ) -> None:
        self._database = database
        self._control = control
        self._record_life = record_life
        self._clock = clock
        self._pool = ThreadPoolExecutor(max_workers=8, thread_name_prefix="retries")

    def run(self, tasks: Sequence[PendingTask]) -> RetrySummary:
        """Have each tried now. The summary names those that can't be. Raises Rejected for too many."""

        def run_one(task: PendingTask) -> tuple[int, str]:
            return (1, TRIED) if self._control.run(*task) else (0, GONE)

        return self._each(tasks, run_one)

    def delete(self, tasks: Sequence[PendingTask], who: str) -> RetrySummary:
        """Delete each as `pushtasks.deletion` does: its record says so before its queue lets go of it."""

        def delete_one(task: PendingTask) -> tuple[int, str]:
            with self._database.context():
                return deletion.delete_pending(
                    self._database,
                    self._control,
                    *task,
                    who=who,
                    now=self._clock(),
                    record_life=self._record_life,
                )

        return self._each(tasks, delete_one)

    def _each(
        self, tasks: Sequence[PendingTask], act: Callable[[PendingTask], tuple[int, str]]
    ) -> RetrySummary:
        wanted = list(dict.fromkeys(tasks))
        if len(wanted) > MOST_AT_ONCE:
            raise Rejected("tasks", f"{len(wanted)} tasks", f"at most {MOST_AT_ONCE}")

        def told(task: PendingTask) -> tuple[int, str]:
            try:
                return act(task)
            except PushTasksError as failure:
                return 0, f"left alone: {failure}"

        answers = list(self._pool.map(told, wanted))
        return RetrySummary(dict(Tallies(said for _, said in answers)), sum(count for count, _ in answers))
