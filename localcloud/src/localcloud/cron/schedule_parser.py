"""From the text of a `schedule:` to a Schedule, by the grammar of the cron.yaml reference."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import time, timedelta, tzinfo

from localcloud.cron.schedule import EVERY_DAY, Days, Interval, RangedInterval, Schedule, days_in

_EXPECTED = (
    "expected for example 'every 5 minutes', 'every 2 hours from 10:00 to 14:00', 'every monday 09:00' "
    "or '1st,third mon of march,june 17:00'"
)
_DAY_SECONDS = 24 * 3600


def _names(text: str, first: int) -> dict[str, int]:
    """Each full name, and its first three letters, with its number."""
    names = text.split()
    full = {name: number for number, name in enumerate(names, first)}
    return full | {name[:3]: number for name, number in full.items()}


_WEEKDAYS = _names("sunday monday tuesday wednesday thursday friday saturday", 0)
_MONTHS = _names("january february march april may june july august september october november december", 1)
_ORDINALS = {"1st": 1, "2nd": 2, "3rd": 3, "4th": 4, "5th": 5}
_ORDINALS |= {"first": 1, "second": 2, "third": 3, "fourth": 4, "fifth": 5}
_QUARTER_ORDINALS = {name: number for name, number in _ORDINALS.items() if number <= 3}
_UNITS = {"hours": 3600, "mins": 60, "minutes": 60}
_WORDS = [
    *_WEEKDAYS,
    *_MONTHS,
    *_ORDINALS,
    *_UNITS,
    *("every", "day", "month", "quarter", "of", "from", "to", "on", "synchronized"),
]
# Longest first: `monday` is one word. Spaces between words may be left out, as Google's lexer allows.
_TOKEN = re.compile(
    r"\s*(\d\d?:\d\d|" + "|".join(sorted(_WORDS, key=len, reverse=True)) + r"|\d{1,5}|,|[a-z]+|\S)"
)
_TIME = re.compile(r"(\d|[01]\d|2[0-3]):[0-5]\d")


def parse_schedule(text: str, zone: tzinfo) -> Schedule:
    """The schedule that `text` says. Raises ValueError with one line: what is wrong, what was expected."""
    return _Parser(text, zone).schedule()


class _Parser:
    """Reads one schedule from left to right."""

    def __init__(self, text: str, zone: tzinfo) -> None:
        self._text = text
        self._zone = zone
        self._tokens = _TOKEN.findall(text.lower())
        self._place = 0

    def schedule(self) -> Schedule:
        is_interval = self._sees("every") and self._next_is_number()
        found = self._interval() if is_interval else self._days()
        if self._place < len(self._tokens):
            raise self._wrong(f"{self._tokens[self._place]!r} is too much")
        return found

    def _interval(self) -> Schedule:
        self._take("every")
        count = self._number()
        seconds = count * self._one_of(_UNITS)
        if not seconds:
            raise self._wrong("an interval of 0 never ends")
        start = end = None
        if self._has("from"):
            start = self._time()
            self._take("to")
            end = self._time()
        elif self._has("synchronized"):
            if _DAY_SECONDS % seconds:
                raise self._wrong("synchronized needs an interval that divides 24 hours evenly")
            start, end = time(0, 0), time(23, 59)
        weekdays = EVERY_DAY
        if self._has("on") and not self._has("day"):
            weekdays = self._list(_WEEKDAYS)
        if weekdays != EVERY_DAY and seconds > _DAY_SECONDS:
            raise self._wrong("days can be named for intervals of at most 24 hours")
        length = timedelta(seconds=seconds)
        if start is None or end is None:
            return Interval(length, self._zone, weekdays)
        return RangedInterval(length, start, end, self._zone, weekdays)

    def _days(self) -> Days:
        month_days = frozenset[int]()
        weekdays, ordinals = EVERY_DAY, frozenset(range(1, 6))
        if self._next_is_number(ahead=0):
            month_days = frozenset(self._numbers())
            if not self._sees("of"):
                raise self._wrong("after a day of the month, 'of' and a month are missing")
        else:
            every = self._has("every")
            if not every:
                ordinals = self._list(_ORDINALS)
            if not self._has("day"):
                weekdays = self._list(_WEEKDAYS)
            elif not every:  # "first day of month"
                month_days = ordinals
        months = self._months() if self._has("of") else frozenset(range(1, 13))
        if month_days:
            self._check_month_days(month_days, months)
        return Days(self._time(), self._zone, months, weekdays, ordinals, month_days)

    def _months(self) -> frozenset[int]:
        if self._has("month"):
            return frozenset(range(1, 13))
        if self._has("quarter"):
            return frozenset((1, 4, 7, 10))
        if self._place < len(self._tokens) and self._tokens[self._place] in _QUARTER_ORDINALS:
            offsets = self._list(_QUARTER_ORDINALS)
            for word in ("month", "of", "quarter"):
                self._take(word)
            return frozenset(offset + quarter for offset in offsets for quarter in (0, 3, 6, 9))
        return self._list(_MONTHS)

    def _check_month_days(self, days: frozenset[int], months: frozenset[int]) -> None:
        for day in (min(days), max(days)):
            if not 1 <= day <= 31:
                raise self._wrong(f"{day} is not a day of a month")
        if all(min(days) > days_in(month) for month in months):
            raise self._wrong(f"none of its months has a day {min(days)}")

    def _numbers(self) -> list[int]:
        numbers = [self._number()]
        while self._has(","):
            numbers.append(self._number())
        return numbers

    def _list(self, words: Mapping[str, int]) -> frozenset[int]:
        found = [self._one_of(words)]
        while self._has(","):
            found.append(self._one_of(words))
        return frozenset(found)

    def _one_of(self, words: Mapping[str, int]) -> int:
        token = self._tokens[self._place] if self._place < len(self._tokens) else ""
        if token not in words:
            raise self._unexpected(token)
        self._place += 1
        return words[token]

    def _number(self) -> int:
        if not self._next_is_number(ahead=0):
            raise self._unexpected(self._tokens[self._place] if self._place < len(self._tokens) else "")
        self._place += 1
        return int(self._tokens[self._place - 1])

    def _time(self) -> time:
        token = self._tokens[self._place] if self._place < len(self._tokens) else ""
        if not _TIME.fullmatch(token):
            raise self._wrong(
                f"{token!r} is not a time from 0:00 to 23:59" if token else "the time of the day is missing"
            )
        self._place += 1
        hour, _, minute = token.partition(":")
        return time(int(hour), int(minute))

    def _next_is_number(self, ahead: int = 1) -> bool:
        place = self._place + ahead
        return place < len(self._tokens) and self._tokens[place].isdecimal()

    def _sees(self, word: str) -> bool:
        return self._place < len(self._tokens) and self._tokens[self._place] == word

    def _has(self, word: str) -> bool:
        """Is `word` next? Then it is taken."""
        found = self._sees(word)
        self._place += found
        return found

    def _take(self, word: str) -> None:
        if not self._has(word):
            raise self._wrong(f"{word!r} is missing")

    def _unexpected(self, token: str) -> ValueError:
        return self._wrong(f"{token!r} is not understood" if token else "it ends too early")

    def _wrong(self, problem: str) -> ValueError:
        return ValueError(f"{self._text!r}: {problem}; {_EXPECTED}")
