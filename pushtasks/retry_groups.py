"""The tasks that wait to retry, grouped by the last answer: what fails, how often, since when.

All of it comes from the listing, which is at most half a minute old and holds the first 1,000 tasks of each
queue.
"""

from __future__ import annotations

from collections import Counter as Tallies
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from pushtasks.queue_control import Listing, RetryingTask

PAGE_SIZE = 50


@dataclass(frozen=True, slots=True)
class RetryGroup:
    """Tasks of one kind whose last attempts were answered alike."""

    answer: str
    """A status such as `503`, or what the queue reports for an attempt without one."""
    task: str
    """Their kind."""
    count: int
    queues: Mapping[str, int]
    """How many of them wait in each queue."""
    first_seen: datetime
    """When the first of them was created; its first failure can't have been earlier."""
    last_seen: datetime | None
    """When the last attempt of any of them ended; None if no attempt got an answer."""
    attempts: int
    """All of them together."""
    most_attempts: int
    next_try: datetime


@dataclass(frozen=True, slots=True)
class RetryFilter:
    """Which tasks are meant; an empty text means any."""

    answer: str = ""
    task: str = ""
    queue: str = ""
    text: str = ""
    """Part of a task's name."""
    cutoff: datetime | None = None
    """Only tasks created up to then: those that an administrator was asked about."""

    def selects(self, task: RetryingTask) -> bool:
        return (
            self.answer in ("", task.last_status)
            and self.task in ("", task.handler)
            and self.queue in ("", task.queue)
            and self.text in task.name
            and (self.cutoff is None or task.created_at <= self.cutoff)
        )


@dataclass(frozen=True, slots=True)
class RetryPage:
    """A page of tasks, soonest next try first."""

    tasks: Sequence[RetryingTask]
    number: int
    """From 1."""
    pages: int
    count: int
    """Of the tasks on all pages."""


def groups(listing: Listing, wanted: RetryFilter | None = None) -> list[RetryGroup]:
    """The largest group first."""
    found: dict[tuple[str, str], list[RetryingTask]] = {}
    for task in selected(listing, wanted):
        found.setdefault((task.last_status, task.handler), []).append(task)
    made = [_group(answer, task, tasks) for (answer, task), tasks in found.items()]
    return sorted(made, key=lambda group: (-group.count, group.answer, group.task))


def selected(listing: Listing, wanted: RetryFilter | None = None) -> list[RetryingTask]:
    if wanted is None:
        return listing.tasks
    return [task for task in listing.tasks if wanted.selects(task)]


def page(listing: Listing, wanted: RetryFilter, number: int = 1, size: int = PAGE_SIZE) -> RetryPage:
    """One page; a number beyond the last page gives the last one, for tasks get done while one looks."""
    tasks = selected(listing, wanted)
    pages = max(1, -(-len(tasks) // size))
    number = min(max(1, number), pages)
    return RetryPage(tasks[(number - 1) * size : number * size], number, pages, len(tasks))


def _group(answer: str, task: str, tasks: Iterable[RetryingTask]) -> RetryGroup:
    members = list(tasks)
    return RetryGroup(
        answer=answer,
        task=task,
        count=len(members),
        queues=dict(sorted(Tallies(each.queue for each in members).items())),
        first_seen=min(each.created_at for each in members),
        last_seen=max((each.failed_at for each in members if each.failed_at is not None), default=None),
        attempts=sum(each.attempts for each in members),
        most_attempts=max(each.attempts for each in members),
        next_try=min(each.next_try for each in members),
    )
