"""Who may increment, and how many counters they may create: what bounds the bill of a public sample."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from time import monotonic

from google.cloud import ndb

from counters import values
from counters.entities import Counter
from pushtasks.database import Database
from pushtasks.errors import Rejected, TaskFailure

_RECOUNT_S = 300.0
_PATIENCE_S = 5.0
_MOST_KNOWN = 50_000
"""The most names that are remembered, some 10 MB: outsiders choose them."""


class TooManyCounters(Rejected):
    """The limit of counters is reached, and an increment would start another."""

    def __init__(self, counter: str, most: int) -> None:
        self.most = most
        super().__init__("counter", counter, "the name of a counter that exists")

    @property
    def sentence(self) -> str:
        return (
            f"The counter {self.given!r} does not exist, and no more than {self.most} counters may "
            f"(COUNTER_MOST_COUNTERS). Increment one that exists."
        )


class Admission:
    """Lets increments of known counters pass without a read; counts the counters when a new one comes.

    One per process; threads may share it. The limit is kept closely, not exactly: several processes may
    each admit the last one. While Datastore can't be asked everything is admitted, because it bounds cost
    and guards nothing.
    """

    def __init__(
        self, database: Database, most_counters: int, clock_s: Callable[[], float] = monotonic
    ) -> None:
        self._database = database
        self._most = most_counters
        self._clock_s = clock_s
        self._lock = threading.Lock()
        self._known: set[str] = set()
        self._counted = 0
        self._counted_at_s = float("-inf")
        self._unanswered_until_s = float("-inf")

    def admit(self, counters: Iterable[str]) -> None:
        """Needs a context if one may be unknown. Raises TooManyCounters, and then admits none of them."""
        unknown = [name for name in dict.fromkeys(counters) if name not in self._known]
        if not unknown or self._clock_s() < self._unanswered_until_s:
            return
        try:
            found = self._database.get(ndb.Key(Counter, name) for name in unknown)
            new = [name for name, entity in zip(unknown, found, strict=True) if entity is None]
            if new:
                self._count(new)
        except TaskFailure:
            self._unanswered_until_s = self._clock_s() + _PATIENCE_S
            return
        with self._lock:
            if len(self._known) + len(unknown) > _MOST_KNOWN:
                self._known.clear()
            self._known.update(unknown)

    def _count(self, new: list[str]) -> None:
        """Admit the new counters, if there is room."""
        with self._lock:
            stale = self._clock_s() > self._counted_at_s + _RECOUNT_S
        if stale:
            counted = values.counter_count(self._database, self._most)
            with self._lock:
                self._counted, self._counted_at_s = counted, self._clock_s()
        with self._lock:
            if self._counted + len(new) > self._most:
                raise TooManyCounters(new[max(0, self._most - self._counted)], self._most)
            self._counted += len(new)
