"""The charts of a counter: its value over time, and its increments."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import accumulate, count

from markupsafe import Markup

from counters.history import Series
from counters.values import CounterValue
from pushtasks.dashboard.charts import Bar, Chart, bars
from pushtasks.dashboard.line_charts import lines, sparkline
from pushtasks.errors import Rejected
from pushtasks.ring import DAYS, SPANS
from pushtasks.web.figures import whole

SPAN_NAMES = {"hour": "1 h", "day": "24 h", "week": "7 d", "year": "400 d"}


@dataclass(frozen=True, slots=True)
class CounterCharts:
    """What a counter's page shows of a span."""

    span: str
    starts_at: datetime
    value: Chart
    scale: Sequence[int]
    increments: Chart
    rows: Sequence[tuple[datetime, int, int, int]]
    """When a period began, what was added in it, by how many increments, and the value at its end; the
    latest first, those without increments left out."""


def counter_charts(counter: CounterValue, span_name: str, now: datetime) -> CounterCharts:
    """Raises Rejected for an unknown span."""
    span = SPANS.get(span_name)
    if span is None:
        raise Rejected("span", span_name, "one of " + ", ".join(SPANS))
    series = counter.history([span], now)[span.name]
    ends = _values(series)
    scale = round_scale(min(series.value_before, *ends), max(series.value_before, *ends))
    low, room = scale[-1], scale[0] - scale[-1]
    labels = [
        point.starts_at.strftime("%Y-%m-%d" if span.scale is DAYS else "%Y-%m-%d %H:%M UTC")
        for point in series.points
    ]
    value = lines(
        "value",
        "Value",
        f"From {whole(series.value_before)} to {whole(ends[-1])}, oldest first.",
        [("first", [(each - low) / room for each in ends])],
        [f"{label}: {whole(each)}" for label, each in zip(labels, ends, strict=True)],
    )
    columns = [
        Bar(
            label,
            [("first", point.increments)],
            f"{label}: {whole(point.increments)}, together {whole(point.amount)}",
        )
        for label, point in zip(labels, series.points, strict=True)
    ]
    total = sum(point.increments for point in series.points)
    increments = bars(
        "increments", "Increments", f"{whole(total)} in all, oldest first.", columns, may_cut=True
    )
    rows = [
        (point.starts_at, point.amount, point.increments, end)
        for point, end in zip(series.points, ends, strict=True)
        if point.increments
    ]
    return CounterCharts(span_name, series.points[0].starts_at, value, scale, increments, rows[::-1])


def round_scale(low: int, high: int) -> list[int]:
    """Five round numbers that hold `low` and `high` between them, from the top to the ground."""
    for step in (digit * 10**zeros for zeros in count() for digit in (1, 2, 3, 4, 5, 6, 8)):
        ground = low // step * step
        if ground + 4 * step >= high:
            break
    return [ground + each * step for each in range(4, -1, -1)]


def sparklines(counters: Iterable[CounterValue], now: datetime) -> dict[str, Markup]:
    """By counter: its increments over the last hour, small."""
    span = SPANS["hour"]
    drawn = {}
    for each in counters:
        points = each.history([span], now)[span.name].points
        total = sum(point.increments for point in points)
        by_five = [sum(p.increments for p in points[start : start + 5]) for start in range(0, len(points), 5)]
        drawn[each.name] = sparkline(by_five, f"{whole(total)} increments in the last hour")
    return drawn


def _values(series: Series) -> list[int]:
    """The counter's value at the end of each period."""
    amounts = (point.amount for point in series.points)
    return list(accumulate(amounts, initial=series.value_before))[1:]
