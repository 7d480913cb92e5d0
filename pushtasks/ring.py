"""Rings: what was counted, minute by minute for an hour, hour by hour for a week, day by day for 400 days.

A ring holds one row of whole numbers for each period. It is trimmed by its newest period, and what leaves it
is added to its `before`; so `before` + the sum of the rows is all that was ever counted, whatever the clocks
did.

Packing a ring takes longer than the transaction can spare each time. So a writer keeps the three
periods that are under way as rows of their own (`Running`), a few hundred bytes, and opens a ring only when
its period has ended.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import accumulate, pairwise
from operator import add
from typing import Any, NamedTuple

from pushtasks.errors import Rejected

_encode = json.JSONEncoder(separators=(",", ":")).encode

Row = list[int]
Merge = Callable[[Row, Row], Row]


@dataclass(frozen=True, slots=True)
class Scale:
    """How long a ring's periods are, and how many it holds. Periods are numbered from 1970, in UTC."""

    name: str
    period_s: int
    length: int

    def period_of(self, moment: datetime) -> int:
        return int(moment.timestamp() // self.period_s)

    def starts_at(self, period: int) -> datetime:
        return datetime.fromtimestamp(period * self.period_s, UTC)


MINUTES = Scale("minute", 60, 60)
HOURS = Scale("hour", 3600, 7 * 24)
DAYS = Scale("day", 86_400, 400)
SCALES = (MINUTES, HOURS, DAYS)


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of time that ends now, as pages and the API offer it."""

    name: str
    scale: Scale
    periods: int


SPANS = {
    span.name: span
    for span in (
        Span("hour", MINUTES, 60),
        Span("day", HOURS, 24),
        Span("week", HOURS, 7 * 24),
        Span("year", DAYS, 400),
    )
}


def numbers_as_json(numbers: list[Any]) -> bytes:
    """Whole numbers of any size, or lists of them, as JSON in one line."""
    return _encode(numbers).encode()


class Ended(NamedTuple):
    """A row that must go into its scale's ring now."""

    scale: Scale
    period: int
    row: Row


def parse_spans(text: str) -> list[Span]:
    """The spans that a text names, separated by commas. Raises Rejected."""
    found = [SPANS.get(name.strip()) for name in text.split(",")]
    spans = [span for span in dict.fromkeys(found) if span is not None]
    if None in found:
        raise Rejected("history", text, "some of hour, day, week and year, with commas between")
    return spans


def add_rows(mine: Row, theirs: Row) -> Row:
    """The sum, column by column. An empty row stands for zeros."""
    if not mine or not theirs:
        return mine or theirs
    return list(map(add, mine, theirs))


class Ring:
    """The rows of one scale by their period, and `before`: what has left it."""

    __slots__ = ("before", "rows", "scale")

    def __init__(
        self, scale: Scale, rows: Mapping[int, Row] | None = None, before: Row | None = None
    ) -> None:
        self.scale = scale
        self.rows = dict(rows or {})
        self.before = before or []

    def add(self, period: int, row: Row, merge: Merge = add_rows) -> None:
        self.rows[period] = merge(self.rows[period], row) if period in self.rows else row
        oldest = max(self.rows) - self.scale.length
        for gone in [each for each in self.rows if each <= oldest]:
            self.before = merge(self.before, self.rows.pop(gone))

    def pack(self) -> bytes:
        """As bytes: column by column, and periods as distances, because that compresses best."""
        periods = sorted(self.rows)
        distances = [*periods[:1], *(late - early for early, late in pairwise(periods))]
        columns = zip(*(self.rows[period] for period in periods), strict=True)
        packed = [self.before, distances, *columns]
        return zlib.compress(numbers_as_json(packed), 6)

    @classmethod
    def unpack(cls, scale: Scale, blob: bytes | None) -> Ring:
        """What `pack` made; an empty ring if there was nothing."""
        if not blob:
            return cls(scale)
        before, distances, *columns = json.loads(zlib.decompress(blob))
        rows = map(list, zip(*columns, strict=True))
        return cls(scale, dict(zip(accumulate(distances), rows, strict=True)), before)


class Running:
    """For each scale the period that is under way, and its row; all of it in one list of numbers."""

    __slots__ = ("numbers",)

    def __init__(self, numbers: list[int] | None = None) -> None:
        self.numbers = numbers or []
        """Period, row, period, row, period, row, in the order of SCALES; empty before the first change."""

    def add(self, moment: datetime, row: Row, merge: Merge = add_rows) -> list[Ended]:
        """Count `row` in the periods that `moment` lies in; what has to go into the rings."""
        numbers, seconds, size = self.numbers, moment.timestamp(), len(row) + 1
        if not numbers:
            for scale in SCALES:
                numbers += (int(seconds // scale.period_s), *row)
            return []
        ended = []
        for place, scale in enumerate(SCALES):
            start, end = place * size, (place + 1) * size
            period, under_way = int(seconds // scale.period_s), numbers[start]
            if period == under_way:
                numbers[start + 1 : end] = merge(numbers[start + 1 : end], row)
            elif under_way - scale.length < period < under_way:
                ended.append(Ended(scale, period, row))  # late, or by another clock
            else:
                ended.append(Ended(scale, under_way, numbers[start + 1 : end]))
                numbers[start:end] = period, *row
        return ended

    def of(self, scale: Scale) -> tuple[int, Row] | None:
        """The period under way and its row; None if nothing was ever counted."""
        if not self.numbers:
            return None
        size = len(self.numbers) // len(SCALES)
        start = SCALES.index(scale) * size
        return self.numbers[start], self.numbers[start + 1 : start + size]


def whole(ring: Ring, running: Running, merge: Merge = add_rows) -> Ring:
    """The ring with the period that is under way in it."""
    under_way = running.of(ring.scale)
    if under_way is not None:
        ring.add(*under_way, merge)
    return ring


def series(
    rings: Iterable[Ring], span: Span, now: datetime, merge: Merge = add_rows
) -> list[tuple[int, Row]]:
    """The span's periods up to now, oldest first, each with all rings' sum; an empty row for nothing."""
    last = span.scale.period_of(now)
    rows: dict[int, Row] = {period: [] for period in range(last - span.periods + 1, last + 1)}
    for ring in rings:
        for period, row in ring.rows.items():
            if period in rows:
                rows[period] = merge(rows[period], row)
    return list(rows.items())
