"""Attempts that failed, counted when they failed: what a chart shows while an outage lasts.

The statistics count a task's attempts when it is applied, so during an outage they stand still. These counts
are kept in memory and written with the process's next commit, alone after ten seconds, or when the process
ends. They are approximate: a process that is killed loses some, a lost answer may count some twice, and
an attempt that reached no process is not seen.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping

from pushtasks.delivery import Clock
from pushtasks.errors import TaskFailure, in_full
from pushtasks.ring import MINUTES

log = logging.getLogger(__name__)

CallLater = Callable[[float, Callable[[], None]], object]

Write = Callable[[str, Mapping[int, int]], None]
"""Stores a kind's failures by minute. Raises TaskFailure."""

_FLUSH_AFTER_S = 10.0
_MOST_MINUTES = 120
"""For each kind; in a longer outage the oldest minutes are merged."""


def in_a_thread(after_s: float, call: Callable[[], None]) -> None:
    timer = threading.Timer(after_s, call)
    timer.daemon = True
    timer.start()


class FailedAttempts:
    """One per process; threads may share it."""

    def __init__(self, write: Write, clock: Clock, call_later: CallLater = in_a_thread) -> None:
        self._write = write
        self._clock = clock
        self._call_later = call_later
        self._lock = threading.Lock()
        self._counts: dict[str, dict[int, int]] = {}
        self._is_flush_due = False

    def count(self, task: str) -> None:
        """An attempt of this kind of task has failed just now."""
        self._add(task, {MINUTES.period_of(self._clock()): 1})
        with self._lock:
            calls, self._is_flush_due = not self._is_flush_due, True
        if calls:
            self._call_later(_FLUSH_AFTER_S, self._flush_alone)

    def take(self, task: str) -> dict[int, int]:
        """The failures of a kind by minute (since 1970), for the caller to write."""
        if task not in self._counts:  # nearly always, and without the lock
            return {}
        with self._lock:
            return self._counts.pop(task, {})

    def give_back(self, task: str, counts: Mapping[int, int]) -> None:
        """Take back what could not be written."""
        if counts:
            self._add(task, counts)

    def flush(self) -> None:
        """Write all counts. What can't be written is kept for the next commit."""
        for task in list(self._counts):
            counts = self.take(task)
            try:
                if counts:
                    self._write(task, counts)
            except TaskFailure as failure:
                self.give_back(task, counts)
                log.info("Failed attempts are not counted yet: %s", in_full(failure))
                return

    def _flush_alone(self) -> None:
        with self._lock:
            self._is_flush_due = False
        self.flush()

    def _add(self, task: str, counts: Mapping[int, int]) -> None:
        with self._lock:
            kept = self._counts.setdefault(task, {})
            for minute, count in counts.items():
                kept[minute] = kept.get(minute, 0) + count
            while len(kept) > _MOST_MINUTES:
                oldest, next_oldest = sorted(kept)[:2]
                kept[next_oldest] += kept.pop(oldest)
