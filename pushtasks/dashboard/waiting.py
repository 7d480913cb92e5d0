"""The list of tasks that wait to retry: filtered, grouped by last answer, a page at a time."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import urlencode

from pushtasks.queue_control import RetryingTask

PAGE_SIZE = 50


@dataclass(frozen=True, slots=True)
class Filter:
    """Which tasks are meant; an empty field means all."""

    queue: str = ""
    kind: str = ""
    answer: str = ""

    def admits(self, task: RetryingTask) -> bool:
        return (
            self.queue in ("", task.queue)
            and self.kind in ("", task.handler)
            and self.answer in ("", task.last_status)
        )

    @property
    def query(self) -> dict[str, str]:
        """What of it says something, as an address has it."""
        fields = {"queue": self.queue, "kind": self.kind, "answer": self.answer}
        return {name: value for name, value in fields.items() if value}

    def address(self, path: str = "/admin/retrying", **more: object) -> str:
        query = urlencode({**self.query, **{name: value for name, value in more.items() if value}})
        return f"{path}?{query}" if query else path


@dataclass(frozen=True, slots=True)
class AnswerGroup:
    """Tasks whose last attempt was answered alike."""

    answer: str
    count: int
    fewest_attempts: int
    most_attempts: int
    queues: Sequence[str]
    oldest: datetime
    newest: datetime

    @property
    def attempts(self) -> str:
        fewest, most = self.fewest_attempts, self.most_attempts
        return str(most) if fewest == most else f"{fewest} to {most}"

    @property
    def address(self) -> str:
        return Filter(answer=self.answer).address()


def by_answer(tasks: Iterable[RetryingTask]) -> list[AnswerGroup]:
    """The most frequent answer first."""
    alike: dict[str, list[RetryingTask]] = {}
    for task in tasks:
        alike.setdefault(task.last_status, []).append(task)
    groups = [
        AnswerGroup(
            answer=answer,
            count=len(same),
            fewest_attempts=min(task.attempts for task in same),
            most_attempts=max(task.attempts for task in same),
            queues=sorted({task.queue for task in same}),
            oldest=min(task.created_at for task in same),
            newest=max(task.created_at for task in same),
        )
        for answer, same in alike.items()
    ]
    return sorted(groups, key=lambda group: (-group.count, group.answer))
