"""The history of every figure: an hour, a day, a week, 400 days; of one kind of task, or over all."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from pushtasks import statistics
from pushtasks.dashboard.charts import Bar, Chart, bars
from pushtasks.dashboard.charts import Mark as ChartMark
from pushtasks.dashboard.handler import AdminReadHandler
from pushtasks.dashboard.line_charts import Line, lines
from pushtasks.dashboard.overview_page import OUTCOMES, address, marks_at, outcome_counts
from pushtasks.errors import Rejected
from pushtasks.marks import Mark
from pushtasks.ring import DAYS, SPANS, Span
from pushtasks.statistics import History, Moment
from pushtasks.tally import Tally
from pushtasks.web.figures import milliseconds, percent, ratio, whole

SPAN_NAMES = {"hour": "1 h", "day": "24 h", "week": "7 d", "year": "400 d"}

_PERCENTILES = (50, 95, 99)
_DECADES = 6
"""The latency chart reaches from 1 ms to 1,000 s."""


@dataclass(frozen=True, slots=True)
class Row:
    """One period in the table."""

    at: datetime
    counts: Sequence[int]
    tally: Tally
    latencies_ms: Sequence[float | None]


@dataclass(frozen=True, slots=True)
class Histories:
    """The charts of one history, and their table."""

    outcomes: Chart
    success: Chart
    amplification: Chart
    amplification_top: int
    latency: Chart
    rows: list[Row]


class HistoryHandler(AdminReadHandler):
    """GET /admin/history?span=hour|day|week|year&kind="""

    def get(self) -> None:
        name, kind = self.query("span", "day"), self.query("kind")
        span = SPANS.get(name)
        if span is None:
            raise Rejected("span", name, "one of " + ", ".join(SPANS))
        read = statistics.read_history(self.service.database, span, self.service.clock())
        chosen = [each for each in read if kind in ("", each.handler)]
        history = statistics.over_all(chosen, span)
        query = {"span": name, "kind": kind}
        self.admin_page(
            "admin/history.html",
            span=name,
            span_names=SPAN_NAMES,
            kind=kind,
            kind_names=[each.handler for each in read],
            is_days=span.scale is DAYS,
            outcomes=OUTCOMES,
            percentiles=_PERCENTILES,
            drawn=draw(history, self.service.overviews.marks()) if history.moments else None,
            address=lambda **changed: address("/admin/history", {**query, **changed}),
        )


def draw(history: History, marked: Sequence[Mark]) -> Histories:
    """All charts of a history that has periods."""
    moments, span = history.moments, history.span
    tallies = [moment.tally for moment in moments]
    labels = [_label(moment, span) for moment in moments]
    marks = marks_at(marked, moments[0].starts_at, span.scale.period_s, len(moments))
    latencies = [[tally.latency_percentile_ms(each) for each in _PERCENTILES] for tally in tallies]
    amplifications = [tally.retry_amplification for tally in tallies]
    top = max(2, math.ceil(max((each for each in amplifications if each is not None), default=1)))
    told = [
        f"{label}: "
        + ", ".join(f"p{each} {milliseconds(value)}" for each, value in zip(_PERCENTILES, row, strict=True))
        for label, row in zip(labels, latencies, strict=True)
    ]
    by_percentile: list[Line] = [
        (f"p{each}", [_on_log_scale(row[index]) for row in latencies])
        for index, each in enumerate(_PERCENTILES)
    ]
    return Histories(
        outcomes=_outcomes(moments, labels, marks),
        success=lines(
            "success",
            "First-attempt success",
            "The share of applied tasks that their first attempt applied, from 0 to 100 %.",
            [("first", [tally.first_attempt_success for tally in tallies])],
            [
                f"{label}: {percent(t.first_attempt_success)} of {whole(t.applied)}"
                for label, t in zip(labels, tallies, strict=True)
            ],
            marks,
        ),
        amplification=lines(
            "amplification",
            "Retry amplification",
            f"Deliveries for each applied task, from 0 to {top}; 1 is ideal.",
            [("later", [each / top if each is not None else None for each in amplifications])],
            [f"{label}: {ratio(each)}" for label, each in zip(labels, amplifications, strict=True)],
            marks,
        ),
        amplification_top=top,
        latency=lines(
            "latency-history",
            "Latency (enqueue to commit)",
            "Percentiles 50, 95 and 99 on a logarithmic scale from 1 ms to 1,000 s.",
            by_percentile,
            told,
            marks,
        ),
        rows=[
            Row(moment.starts_at, outcome_counts(moment.tally), moment.tally, row)
            for moment, row in zip(moments, latencies, strict=True)
        ][::-1],
    )


def _outcomes(moments: Sequence[Moment], labels: Sequence[str], marks: Sequence[ChartMark]) -> Chart:
    columns = []
    for moment, label in zip(moments, labels, strict=True):
        parts = list(zip(OUTCOMES, outcome_counts(moment.tally), strict=True))
        said = ", ".join(f"{whole(count)} {name}" for (_, name), count in parts if count)
        is_running = moment is moments[-1]
        hint = f"{label}: {said}{' so far' if is_running else ''}"
        columns.append(Bar(label, [(kind, count) for (kind, _), count in parts], hint, None, is_running))
    total = sum(column.total for column in columns)
    return bars(
        "outcomes",
        "Attempts, by outcome",
        f"Oldest first. {whole(total)} in all.",
        columns,
        marks,
        may_cut=True,
    )


def _label(moment: Moment, span: Span) -> str:
    return moment.starts_at.strftime("%Y-%m-%d" if span.scale is DAYS else "%Y-%m-%d %H:%M UTC")


def _on_log_scale(value_ms: float | None) -> float | None:
    if value_ms is None:
        return None
    return min(max(math.log10(max(value_ms, 1.0)) / _DECADES, 0.0), 1.0)
