"""When a job of cron.yaml runs next: the two kinds of schedule, and their arithmetic over time zones.

Google's own `groc` is in gcloud, but in no Python package, so this is our own reading of the cron.yaml
reference. The tests compare it with gcloud's where that is installed.
"""

from __future__ import annotations

import calendar
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from typing import Protocol

EVERY_DAY = frozenset(range(7))


class Schedule(Protocol):
    """Each of a job's runs follows from the one before."""

    def after(self, moment: datetime) -> datetime:
        """The first run after `moment`. Both are in UTC."""


@dataclass(frozen=True, slots=True)
class Interval:
    """`every 5 minutes`: counted from the end of the run before."""

    length: timedelta
    zone: tzinfo
    weekdays: frozenset[int] = EVERY_DAY  # 0 is Sunday

    def after(self, moment: datetime) -> datetime:
        while True:
            # Real service: on the minute, rounded down.
            moment = (moment + self.length).replace(second=0, microsecond=0)
            if _weekday(moment.astimezone(self.zone).date()) in self.weekdays:
                return moment


@dataclass(frozen=True, slots=True)
class RangedInterval:
    """`every 5 minutes from 10:00 to 14:00`, `every 2 hours synchronized`: at fixed times of each day.

    The steps are counted from `start`. A range that ends before it starts goes over midnight; its end belongs
    to it.
    """

    length: timedelta
    start: time
    end: time
    zone: tzinfo
    weekdays: frozenset[int] = EVERY_DAY

    def after(self, moment: datetime) -> datetime:
        day = moment.astimezone(self.zone).date() - timedelta(days=1)
        while True:
            for run in self._runs_of(day):
                if run > moment and _weekday(run.astimezone(self.zone).date()) in self.weekdays:
                    return run
            day += timedelta(days=1)

    def _runs_of(self, day: date) -> Iterator[datetime]:
        """The runs of the range that starts on `day`."""
        run = _existing(day, self.start, self.zone)
        end_day = day if self.end >= self.start else day + timedelta(days=1)
        last = _existing(end_day, self.end, self.zone)
        next_range = _existing(day + timedelta(days=1), self.start, self.zone)
        while run <= last and run < next_range:
            yield run
            run += self.length


@dataclass(frozen=True, slots=True)
class Days:
    """`every monday 09:00`, `1st,third mon of march 17:00`, `1 of jan 00:00`: some days of some months."""

    at: time
    zone: tzinfo
    months: frozenset[int] = frozenset(range(1, 13))
    weekdays: frozenset[int] = EVERY_DAY
    # Which of the weekdays in a month: 1 to 5.
    ordinals: frozenset[int] = frozenset(range(1, 6))
    # Where given, these days of the month count, and weekdays and ordinals don't.
    month_days: frozenset[int] = frozenset()

    def after(self, moment: datetime) -> datetime:
        day = moment.astimezone(self.zone).date() - timedelta(days=1)
        while True:
            if self._matches(day):
                # Real service: a time that the clocks skip is left out, one that they repeat runs twice.
                run = next((run for run in _moments(day, self.at, self.zone) if run > moment), None)
                if run is not None:
                    return run
            day += timedelta(days=1)

    def _matches(self, day: date) -> bool:
        if day.month not in self.months:
            return False
        if self.month_days:
            return day.day in self.month_days
        return _weekday(day) in self.weekdays and (day.day + 6) // 7 in self.ordinals


def days_in(month: int) -> int:
    """How many days a month has at most."""
    return calendar.monthrange(4, month)[1]


def _weekday(day: date) -> int:
    return day.isoweekday() % 7


def _moments(day: date, at: time, zone: tzinfo) -> list[datetime]:
    """In UTC, when clocks in `zone` show `at` on that day: once, not at all, or twice, the earlier first."""
    naive = datetime.combine(day, at)
    both = {naive.replace(tzinfo=zone, fold=fold).astimezone(UTC) for fold in (0, 1)}
    return sorted(one for one in both if one.astimezone(zone).replace(tzinfo=None) == naive)


def _existing(day: date, at: time, zone: tzinfo) -> datetime:
    """The first time at or after `at` that exists on that day, in UTC."""
    naive = datetime.combine(day, at)
    while True:
        found = _moments(naive.date(), naive.time(), zone)
        if found:
            return found[0]
        naive += timedelta(minutes=1)
