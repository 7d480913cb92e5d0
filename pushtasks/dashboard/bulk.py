"""The same done to many pending tasks, with what became of each counted."""

from __future__ import annotations

from collections import Counter as Tallies
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from pushtasks.database import Database
from pushtasks.errors import OutcomeUnknown, QueueRefused, TaskFailure

_AT_ONCE = 8


@dataclass(frozen=True, slots=True)
class BulkSummary:
    """How many were changed, and a sentence that accounts for all."""

    changed: int
    sentence: str


def for_each(
    database: Database, tasks: Iterable[tuple[str, str]], change: Callable[[str, str], tuple[int, str]]
) -> BulkSummary:
    """Call `change` with each queue and task, a few at once; it gives how many it changed, and in words."""

    def one(task: tuple[str, str]) -> tuple[int, str]:
        try:
            with database.context():
                return change(*task)
        except (TaskFailure, OutcomeUnknown, QueueRefused) as failure:
            return 0, f"not done ({failure})"

    with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="bulk") as pool:
        results = list(pool.map(one, tasks))
    counts = Tallies(words for _, words in results)
    said = "; ".join(f"{number} {words}" for words, number in counts.most_common(8))
    return BulkSummary(sum(changed for changed, _ in results), said or "nothing to do")
