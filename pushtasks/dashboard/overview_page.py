"""The dashboard's first screen: whether every task gets applied, and what needs attention."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import urlencode

from markupsafe import Markup

from pushtasks.backlog import Backlog
from pushtasks.dashboard.charts import Bar, Chart, Mark, bars
from pushtasks.dashboard.handler import AdminReadHandler
from pushtasks.dashboard.line_charts import sparkline
from pushtasks.errors import Rejected
from pushtasks.marks import Mark as Moment
from pushtasks.queue_control import wait_s
from pushtasks.retry_groups import groups
from pushtasks.tally import ATTEMPT_BUCKETS, LATENCY_BOUNDS_MS, Tally
from pushtasks.verdict import Level
from pushtasks.web.figures import milliseconds, minute_utc, whole
from pushtasks.web.pages import site_name

LEVELS = {Level.OK: "OK", Level.DEGRADED: "Degraded", Level.FAILING: "Failing"}

WINDOWS = {"hour": "last hour", "start": "since start"}

OUTCOMES = (
    ("first", "applied at once"),
    ("later", "applied after retries"),
    ("failed", "failed"),
    ("duplicate", "duplicates suppressed"),
    ("rejected", "rejected or gave up"),
)

FEWEST_SAMPLES = 100
"""Percentiles of fewer samples than this say too little to be shown."""

PERCENTILES = (50, 95, 99)

_SHOWN_SAMPLES = 60
_SHOWN_LATENCIES = slice(0, 31)  # 1 ms to 1,000 s; what is longer goes into the last bar


@dataclass(frozen=True, slots=True)
class Drawn:
    """A chart with the rows of its table."""

    chart: Chart
    rows: Sequence[tuple[str | datetime, list[int]]]


class OverviewReader(AdminReadHandler):
    """What reads the first screen."""

    def panel_query(self) -> dict[str, str]:
        """The panels' parameters, as this request gives them."""
        wanted = [name for panel in self.service.overviews.panels for name in panel.parameters]
        return {name: self.query(name) for name in wanted}


class OverviewHandler(OverviewReader):
    """GET /admin is the page; GET /admin/live the part of it that changes, for script to put in place."""

    def get(self) -> None:
        problem, panel_query = "", self.panel_query()
        try:
            overview = self.service.overviews.overview(panel_query)
        except Rejected as bad:
            problem = bad.sentence
            overview = self.service.overviews.overview()
        window = "start" if self.query("window") == "start" else "hour"
        tally = overview.total if window == "start" else overview.last_hour
        query = {**panel_query, "window": window if window != "hour" else ""}
        self.admin_page(
            "admin/_overview.html" if self.request.path == "/admin/live" else "admin/overview.html",
            overview=overview,
            level_name=LEVELS[overview.verdict.level],
            page_title=f"{LEVELS[overview.verdict.level]}: {site_name()} dashboard",
            answers=groups(overview.retrying) if overview.retrying else [],
            backlog=draw_backlog(overview.backlog or {}),
            panels=self.service.overviews.panels,
            queue_wait_s=lambda queue: wait_s(queue, overview.retrying, overview.at),
            window=window,
            windows=WINDOWS,
            window_tally=tally,
            minutes=draw_minutes(overview.minutes, overview.marks),
            attempts=draw_attempts(tally),
            latency=draw_latency(tally),
            percentiles=percentiles(tally),
            fewest_samples=FEWEST_SAMPLES,
            outcomes=OUTCOMES,
            query=query,
            problem=problem,
            live=address("/admin/live", query),
            back=address("/admin", query),
            address=lambda **changed: address("/admin", {**query, **changed}),
        )


def address(path: str, query: Mapping[str, str]) -> str:
    """`path` with the values of `query` that aren't empty."""
    said = urlencode({name: value for name, value in query.items() if value})
    return f"{path}?{said}" if said else path


def outcome_counts(tally: Tally) -> list[int]:
    """What happened, in the order of OUTCOMES."""
    return [
        tally.applied_first_attempt,
        tally.applied - tally.applied_first_attempt,
        tally.failures,
        tally.duplicates,
        tally.rejected + tally.gave_up,
    ]


def draw_minutes(minutes: list[tuple[int, Tally]], marks: Iterable[Moment] = ()) -> Drawn:
    columns: list[Bar] = []
    rows: list[tuple[datetime, list[int]]] = []
    for minute, tally in minutes:
        counts = outcome_counts(tally)
        at = datetime.fromtimestamp(minute * 60, UTC)
        label = minute_utc(at)
        is_running = minute == minutes[-1][0]
        said = ", ".join(
            f"{whole(count)} {name}" for (_, name), count in zip(OUTCOMES, counts, strict=True) if count
        )
        parts = [(kind, count) for (kind, _), count in zip(OUTCOMES, counts, strict=True)]
        hint = f"{label}: {said}{' so far' if is_running else ''}"
        columns.append(Bar(label, parts, hint, at, is_running))
        rows.append((at, counts))
    total = sum(column.total for column in columns)
    chart = bars(
        "minutes",
        "Attempts a minute, by outcome",
        f"The last 60 minutes, oldest first. {whole(total)} attempts in all.",
        columns,
        marks_at(marks, rows[0][0], 60, len(rows)) if rows else [],
        may_cut=True,
    )
    return Drawn(chart, rows[::-1])


def marks_at(marks: Iterable[Moment], starts: datetime, period_s: int, periods: int) -> list[Mark]:
    """The labels below a chart of that many periods, each with its position."""
    return [
        Mark(mark.kind, place, f"{minute_utc(mark.at)}: {mark.label}", mark.at)
        for mark in marks
        if 0 <= (place := (mark.at - starts).total_seconds() / period_s) <= periods
    ]


def draw_backlog(backlog: Backlog) -> dict[str, Markup]:
    """By queue: how many tasks it held, in the latest samples; those without any task or sample left out."""
    latest = {queue: samples[-_SHOWN_SAMPLES:] for queue, samples in backlog.items()}
    return {
        queue: sparkline(
            [each.waiting for each in samples],
            f"{len(samples)} samples, at most {whole(max(each.waiting for each in samples))} tasks",
        )
        for queue, samples in latest.items()
        if samples
    }


def draw_attempts(tally: Tally) -> Drawn:
    columns = []
    for index, (label, count) in enumerate(zip(ATTEMPT_BUCKETS, tally.by_attempts, strict=True)):
        kind = "first" if index == 0 else "later" if index < 4 else "failed"
        columns.append(Bar(label, [(kind, count)], f"{label}: {whole(count)} tasks"))
    chart = bars(
        "attempts",
        "Attempts a task needed",
        f"{whole(tally.applied)} applied tasks; {whole(tally.by_attempts[0])} needed one attempt.",
        columns,
    )
    rows = [(label, [count]) for label, count in zip(ATTEMPT_BUCKETS, tally.by_attempts, strict=True)]
    return Drawn(chart, rows)


def draw_latency(tally: Tally) -> Drawn:
    counts = tally.by_latency[_SHOWN_LATENCIES]
    counts[-1] += sum(tally.by_latency[len(counts) :])
    columns, rows = [], []
    for index, count in enumerate(counts):
        low = milliseconds(LATENCY_BOUNDS_MS[index - 1]) if index else "0"
        high = milliseconds(LATENCY_BOUNDS_MS[index])
        label = f"{low} to {high}" if index < len(counts) - 1 else f"over {low}"
        columns.append(Bar(label, [("latency", count)], f"{label}: {whole(count)} tasks"))
        if count:
            rows.append((label, [count]))
    marks = [Mark(f"p{percent}", _place(tally, percent, len(columns))) for percent, _ in percentiles(tally)]
    chart = bars(
        "latency",
        "From enqueueing to the commit",
        f"{whole(tally.latency_samples)} tasks, each bar a fifth of a power of ten of milliseconds wide.",
        columns,
        marks,
    )
    return Drawn(chart, rows)


def percentiles(tally: Tally) -> list[tuple[int, float]]:
    """Percentiles of the latency in milliseconds; none if there are too few samples."""
    if tally.latency_samples < FEWEST_SAMPLES:
        return []
    found = [(percent, tally.latency_percentile_ms(percent)) for percent in PERCENTILES]
    return [(percent, value) for percent, value in found if value is not None]


def _place(tally: Tally, percent: int, most: int) -> float:
    """Where a percentile lies on the logarithmic scale, in bars."""
    value = tally.latency_percentile_ms(percent) or 0.0
    for index, high in enumerate(LATENCY_BOUNDS_MS):
        if value <= high:
            low = LATENCY_BOUNDS_MS[index - 1] if index else 0.0
            return min(index + (value - low) / (high - low), most)
    return float(most)
