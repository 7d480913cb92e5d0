"""What the administrators' page shows, gathered: the same for the page, its fragment, JSON and metrics."""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property, partial
from typing import Any, ClassVar, TypeVar

from pushtasks import admin_actions, backlog, kept_tasks, statistics, versions
from pushtasks.admin_actions import Action
from pushtasks.backlog import Backlog
from pushtasks.database import Database
from pushtasks.delivery import Clock, utc_now
from pushtasks.errors import DatastoreUnavailable, OutcomeUnknown, QueueRefused, TaskFailure, in_full
from pushtasks.kept_tasks import Groups
from pushtasks.marks import Mark, marks
from pushtasks.queue_control import Listing, QueueControl, QueueFigures, wait_s
from pushtasks.refreshed import Refreshed
from pushtasks.statistics import Statistics
from pushtasks.tally import Tally, sum_of
from pushtasks.verdict import Level, Verdict, judge, share_warning
from pushtasks.versions import SeenVersion

T = TypeVar("T")

log = logging.getLogger(__name__)

LISTING_LIFE_S = 30
"""Listing is billed by the task, so it is done at most this often."""

LEVEL_LIFE_S = 60
"""Anybody may ask for the level, so it is read at most this often."""


@dataclass(frozen=True)
class Overview:
    """Everything on the first screen; None for what could not be read just now."""

    at: datetime
    verdict: Verdict
    statistics: list[Statistics] | None
    queues: list[QueueFigures] | None
    retrying: Listing | None
    panels: Mapping[str, Any]
    """What each panel of the application's shows, by its name."""
    kept: Groups | None
    actions: list[Action] | None
    versions: list[SeenVersion] | None = None
    backlog: Backlog | None = None

    @cached_property
    def marks(self) -> list[Mark]:
        """What its charts mark, oldest first."""
        return marks(self.actions, self.versions)

    @property
    def share_warning(self) -> str:
        """Why the share of first attempts looks better than things are; empty if it doesn't."""
        return share_warning(self.last_hour, self.retrying)

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


class Panel(ABC):
    """A part of the dashboard that shows an application's own data."""

    name: ClassVar[str]
    """Its id on the page, and its member in statistics.json."""

    template: ClassVar[str]
    """Draws it, in a section whose id is the name.

    It is given `found` (what `read` gave; None if that could not be read), `query` (the page's parameters)
    and `address(**changed)`, the page's address with other ones.
    """

    links: ClassVar[tuple[tuple[str, str], ...]] = ()
    """Addresses and words at the foot of every page, such as of its rows as CSV."""

    parameters: ClassVar[tuple[str, ...]] = ()
    """What it takes from the page's address, such as a page's cursor. No two panels may share one."""

    @abstractmethod
    def read(self, database: Database, query: Mapping[str, str]) -> Any:
        """What it shows. Needs a context. Raises Rejected for a parameter that can't be used, TaskFailure."""

    @abstractmethod
    def as_json(self, found: Any) -> object:
        """The same for programs."""


class Overviews:
    """Gathers overviews. One per process; threads may share it. Calls need a context."""

    def __init__(
        self,
        database: Database,
        control: QueueControl,
        panels: Sequence[Panel] = (),
        clock: Clock = utc_now,
    ) -> None:
        self.panels = tuple(panels)
        self._database = database
        self._control = control
        self._clock = clock
        self._listing = Refreshed(lambda: control.between_retries(clock()), LISTING_LIFE_S)
        self._level = Refreshed(self._read_level, LEVEL_LIFE_S)

    def overview(self, query: Mapping[str, str] | None = None) -> Overview:
        """The first screen; `query` holds the panels' parameters. Raises Rejected for a bad one."""
        now = self._clock()
        database = self._database
        figures = self._control.begin_figures()
        from_datastore = _UntilSilent()
        read_statistics = from_datastore.read(lambda: statistics.read(database, now))
        panels = {
            panel.name: from_datastore.read(partial(panel.read, database, query or {}))
            for panel in self.panels
        }
        kept = from_datastore.read(lambda: kept_tasks.groups(database))
        actions = from_datastore.read(lambda: admin_actions.latest(database))
        stored = from_datastore.read(lambda: database.get([backlog.key(), versions.key()]))
        queues = _or_none(figures)
        retrying = self.between_retries() if queues is not None else None
        return Overview(
            at=now,
            verdict=judge(read_statistics, queues, retrying, now),
            statistics=read_statistics,
            queues=queues,
            retrying=retrying,
            panels=panels,
            kept=kept,
            actions=actions,
            versions=versions.of(stored[1]) if stored is not None else None,
            backlog=from_datastore.read(lambda: backlog.sampled(database, stored[0], queues, retrying, now))
            if stored is not None
            else None,
        )

    def essentials(self) -> Overview:
        """The same without panels, actions and history: what the verdict and the metrics need."""
        now = self._clock()
        figures = self._control.begin_figures()
        from_datastore = _UntilSilent()
        read_statistics = from_datastore.read(lambda: statistics.read(self._database, now))
        kept = from_datastore.read(lambda: kept_tasks.groups(self._database))
        queues = _or_none(figures)
        retrying = self.between_retries() if queues is not None else None
        verdict = judge(read_statistics, queues, retrying, now)
        return Overview(now, verdict, read_statistics, queues, retrying, {}, kept, None)

    def level(self) -> Level:
        """The verdict's level, at most two minutes old. Needs no context."""
        return self._level.get()

    def sample(self) -> Backlog:
        """The backlog, with a sample of this minute. Raises TaskFailure, OutcomeUnknown, QueueRefused."""
        queues, now = self._control.figures(), self._clock()
        [stored] = self._database.get([backlog.key()])
        return backlog.sampled(self._database, stored, queues, self.between_retries(), now)

    def marks(self) -> list[Mark]:
        """What charts of any span mark. Raises TaskFailure."""
        return marks(admin_actions.latest(self._database), versions.seen(self._database))

    def _read_level(self) -> Level:
        with self._database.context():
            return self.essentials().verdict.level

    def between_retries(self) -> Listing | None:
        """The tasks between retries, at most half a minute old; None if they can't be listed."""
        return _or_none(self._listing.get)

    def tasks_changed(self) -> None:
        """An administrator changed what the queues hold: list it again."""
        self._listing.forget()


class _UntilSilent:
    """Reads one thing after another, None for what can't be read; after a timeout, nothing more is read.

    Nobody would wait for a page that runs into four timeouts.
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
