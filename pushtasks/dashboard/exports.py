"""The dashboard's data for programs: JSON and CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from urllib.parse import urlencode

from pushtasks import kept_tasks
from pushtasks.dashboard.handler import AdminReadHandler
from pushtasks.dashboard.overview_page import OverviewReader, percentiles
from pushtasks.entities import KEPT
from pushtasks.kept_tasks import parse_state
from pushtasks.overview import Overview, Panel
from pushtasks.queue_control import wait_s
from pushtasks.tally import ATTEMPT_BUCKETS, LATENCY_BOUNDS_MS, Tally

CSV_ROWS = 1000
_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")


class StatisticsHandler(OverviewReader):
    """GET /admin/statistics.json"""

    def get(self) -> None:
        overviews = self.service.overviews
        self.json(as_json(overviews.overview(self.panel_query()), overviews.panels))


class CsvHandler(AdminReadHandler):
    """What answers in CSV, a page at a time; the Link header leads to the next."""

    def csv(
        self, name: str, header: Sequence[str], rows: Iterable[Sequence[object]], following: Mapping[str, str]
    ) -> None:
        """`following` are the next page's parameters; with an empty `cursor` there is no next page."""
        out = io.StringIO()
        writer = csv.writer(out)
        writer.writerow(header)
        writer.writerows([_cell(value) for value in row] for row in rows)
        if following["cursor"]:
            query = urlencode({key: value for key, value in following.items() if value})
            self.response.headers["Link"] = f'</admin/{name}.csv?{query}>; rel="next"'
        self.response.headers["Content-Disposition"] = f'attachment; filename="{name}.csv"'
        self.text(out.getvalue(), content_type="text/csv; charset=utf-8")


class KeptCsvHandler(CsvHandler):
    """GET /admin/kept.csv?state=&reason=&cursor=: up to 1,000 rows; the Link header leads to more."""

    def get(self) -> None:
        state, reason = parse_state(self.query("state", KEPT)), self.query("reason")
        cursor = self.query("cursor") or None
        page = kept_tasks.page(self.service.database, state, reason, cursor, size=CSV_ROWS)
        rows = [
            (
                each.name,
                each.handler,
                each.outcome,
                each.state,
                each.reason,
                each.detail,
                each.queue,
                each.path,
                each.payload.decode("utf-8", "backslashreplace"),
                iso(each.kept_at),
                each.replacement or "",
            )
            for each in page.tasks
        ]
        names = (
            "task",
            "handler",
            "outcome",
            "state",
            "reason",
            "detail",
            "queue",
            "path",
            "payload",
            "kept_at",
            "replacement",
        )
        following = {"state": state, "reason": reason, "cursor": page.next_cursor or ""}
        self.csv("kept", names, rows, following)


def as_json(overview: Overview, panels: Sequence[Panel]) -> dict[str, object]:
    """Everything on the first screen, as JSON; null for what could not be read."""
    retrying, kept = overview.retrying, overview.kept
    is_counted = overview.statistics is not None
    return {
        "at": iso(overview.at),
        "verdict": {
            "level": overview.verdict.level,
            "findings": [
                {"level": finding.level, "sentence": finding.sentence}
                for finding in overview.verdict.findings
            ],
        },
        "since": iso(overview.since),
        "share_warning": overview.share_warning,
        "total": tally_as_json(overview.total) if is_counted else None,
        "last_hour": tally_as_json(overview.last_hour) if is_counted else None,
        "handlers": None
        if overview.statistics is None
        else [
            {
                "handler": each.handler,
                "since": iso(each.since),
                "total": tally_as_json(each.total),
                "last_hour": tally_as_json(each.last_hour),
            }
            for each in overview.statistics
        ],
        "minutes": None
        if overview.statistics is None
        else [
            {
                "minute": minute * 60,
                "applied": tally.applied,
                "applied_first_attempt": tally.applied_first_attempt,
                "failed_attempts": tally.failed_attempts,
                "duplicates": tally.duplicates,
                "rejected": tally.rejected,
                "gave_up": tally.gave_up,
                "failures": tally.failures,
            }
            for minute, tally in overview.minutes
        ],
        "queues": None
        if overview.queues is None
        else [
            {
                "name": queue.name,
                "state": queue.state,
                "rate_per_s": queue.rate_per_s,
                "most_concurrent": queue.most_concurrent,
                "waiting": queue.waiting,
                "next_due": iso(queue.next_due),
                "oldest_wait_s": round(wait_s(queue, retrying, overview.at), 1),
                "in_flight": queue.in_flight,
                "executed_last_minute": queue.executed_last_minute,
                "effective_rate_per_s": queue.effective_rate_per_s,
            }
            for queue in overview.queues
        ],
        "between_retries": None
        if retrying is None
        else {
            "count": len(retrying.tasks),
            "is_partial": retrying.is_partial,
            "listed_at": iso(retrying.at),
            "soonest": [
                {
                    "task": task.name,
                    "queue": task.queue,
                    "attempts": task.attempts,
                    "last_status": task.last_status,
                    "next_try": iso(task.next_try),
                    "created_at": iso(task.created_at),
                }
                for task in retrying.tasks[:20]
            ],
        },
        "kept": None
        if kept is None
        else {
            "count": kept.kept,
            "reasons": [{"reason": group.reason, "count": group.count} for group in kept.groups],
        },
        "panels": {
            panel.name: panel.as_json(found) if found is not None else None
            for panel in panels
            for found in (overview.panels[panel.name],)
        },
        "actions": None
        if overview.actions is None
        else [
            {
                "at": iso(action.at),
                "who": action.who,
                "action": action.action,
                "target": action.target,
                "count": action.count,
                "result": action.result,
            }
            for action in overview.actions
        ],
    }


def tally_as_json(tally: Tally) -> dict[str, object]:
    """A tally with the figures that follow from it."""
    return {
        "applied": tally.applied,
        "applied_first_attempt": tally.applied_first_attempt,
        "attempts": tally.attempts,
        "most_attempts": tally.most_attempts,
        "duplicates": tally.duplicates,
        "rejected": tally.rejected,
        "gave_up": tally.gave_up,
        "failures": tally.failures,
        "first_attempt_success": tally.first_attempt_success,
        "retry_amplification": tally.retry_amplification,
        "attempts_histogram": dict(zip(ATTEMPT_BUCKETS, tally.by_attempts, strict=True)),
        "latency_samples": tally.latency_samples,
        "latency_ms": {f"p{percent}": value for percent, value in percentiles(tally)},
        "latency_histogram": [
            {"up_to_ms": bound, "tasks": count}
            for bound, count in zip([*LATENCY_BOUNDS_MS, None], tally.by_latency, strict=True)
            if count
        ],
    }


def iso(moment: datetime | None) -> str | None:
    return moment.isoformat() if moment else None


def _cell(value: object) -> object:
    """A text that a spreadsheet would take for a formula gets an apostrophe before it."""
    if isinstance(value, str) and value.startswith(_FORMULA_STARTS):
        return f"'{value}"
    return value
