"""What the administrators' page shows, gathered: the same for the page, its fragment, JSON and metrics."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import TypeVar

from counters import admin_actions, kept_tasks, reading, statistics
from counters.admin_actions import Action
from counters.database import Database
from counters.kept_tasks import Groups
from counters.queue_control import Listing, QueueControl, QueueFigures, wait_s
from counters.queues import OutcomeUnknown, QueueRefused
from counters.reading import CounterPage
from counters.refreshed import Refreshed
from counters.statistics import Statistics
from counters.tally import Tally, sum_of
from counters.tasks import Clock, DatastoreUnavailable, TaskFailure, in_full, utc_now
from counters.verdict import Verdict, judge

T = TypeVar("T")

log = logging.getLogger(__name__)

LISTING_LIFE_S = 30
"""Listing is billed by the task, so it is done at most this often."""


@dataclass(frozen=True)
class Overview:
    """Everything on the first screen; None for what could not be read just now."""

    at: datetime
    verdict: Verdict
    statistics: list[Statistics] | None
    queues: list[QueueFigures] | None
    retrying: Listing | None
    counters: CounterPage | None
    kept: Groups | None
    actions: list[Action] | None

    @cached_property
    def total(self) -> Tally:
        return sum_of(each.total for each in self.statistics or ())

    @cached_property
    def last_hour(self) -> Tally:
        return sum_of(each.last_hour for each in self.statistics or ())

    @cached_property
    def minutes(self) -> list[tuple[int, Tally]]:
        """The last 60 minutes, oldest first, over all handlers."""
        by_handler = [each.minutes for each in self.statistics or ()]
        return [(rows[0][0], sum_of(tally for _, tally in rows)) for rows in zip(*by_handler, strict=True)]

    @property
    def since(self) -> datetime | None:
        return min((each.since for each in self.statistics or () if each.since), default=None)

    @property
    def waiting(self) -> int | None:
        """Tasks that the queues hold: to be tried first, in flight, or between retries."""
        return sum(queue.waiting for queue in self.queues) if self.queues is not None else None

    @property
    def oldest_wait_s(self) -> float | None:
        """How long the oldest task has waited; None if the queues can't be asked, or hold none."""
        if not self.waiting:
            return None
        return max(wait_s(queue, self.retrying, self.at) for queue in self.queues or ())


class Dashboard:
    """One per process; threads may share it. Calls need a context."""

    def __init__(self, database: Database, control: QueueControl, clock: Clock = utc_now) -> None:
        self._database = database
        self._control = control
        self._clock = clock
        self._listing = Refreshed(lambda: control.between_retries(clock()), LISTING_LIFE_S)

    def overview(self, *, prefix: str = "", cursor: str | None = None) -> Overview:
        """The first screen. Reads at most 150 entities. Raises InvalidPayload for a bad cursor."""
        now = self._clock()
        database = self._database
        figures = self._control.begin_figures()
        from_datastore = _UntilSilent()
        read_statistics = from_datastore.read(lambda: statistics.read(database, now))
        counters = from_datastore.read(lambda: reading.page(database, prefix=prefix, cursor=cursor))
        kept = from_datastore.read(lambda: kept_tasks.groups(database))
        actions = from_datastore.read(lambda: admin_actions.latest(database))
        queues = _or_none(figures)
        retrying = self.between_retries() if queues is not None else None
        return Overview(
            at=now,
            verdict=judge(read_statistics, queues, retrying, now),
            statistics=read_statistics,
            queues=queues,
            retrying=retrying,
            counters=counters,
            kept=kept,
            actions=actions,
        )

    def between_retries(self) -> Listing | None:
        """The tasks between retries, at most half a minute old; None if they can't be listed."""
        return _or_none(self._listing.get)

    def tasks_changed(self) -> None:
        """An administrator changed what the queues hold: list it anew."""
        self._listing.forget()


class _UntilSilent:
    """Reads one thing after another, None for what can't be read; after a silence, no more is asked.

    Each silence lasts as long as the timeout, and a page that waits for four of them is never seen.
    """

    def __init__(self) -> None:
        self._is_silent = False

    def read(self, ask: Callable[[], T]) -> T | None:
        if self._is_silent:
            return None
        try:
            return ask()
        except TaskFailure as failure:
            log.warning("The dashboard can't show all: %s", in_full(failure))
            self._is_silent = isinstance(failure, DatastoreUnavailable)
            return None


def _or_none(read: Callable[[], T]) -> T | None:
    try:
        return read()
    except (OutcomeUnknown, QueueRefused) as failure:
        log.warning("The dashboard can't show all: %s", in_full(failure))
        return None
