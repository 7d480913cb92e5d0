"""The figures in Prometheus' text format, version 0.0.4."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from pushtasks.dashboard.handler import AdminReadHandler
from pushtasks.overview import Overview
from pushtasks.queue_control import QueueFigures, wait_s
from pushtasks.statistics import Statistics
from pushtasks.tally import LATENCY_BOUNDS_MS, Tally
from pushtasks.verdict import Level

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

Sample = tuple[dict[str, str], float]


class MetricsHandler(AdminReadHandler):
    """GET /admin/metrics"""

    def get(self) -> None:
        self.text(metrics(self.service.overviews.essentials()), content_type=CONTENT_TYPE)


def metrics(overview: Overview) -> str:
    """What could be read; `pushtasks_up` tells, for each source, whether it could."""
    sources = {"datastore": overview.statistics, "queues": overview.queues}
    up: list[Sample] = [({"source": name}, float(found is not None)) for name, found in sources.items()]
    levels: list[Sample] = [
        ({"level": level}, float(level is overview.verdict.level)) for level in reversed(Level)
    ]
    lines = [
        *_metric("pushtasks_up", "gauge", "Whether the source answers.", up),
        *_metric("pushtasks_verdict", "gauge", "1 for the level of the dashboard's verdict.", levels),
    ]
    for name, help_text, value in _OF_TALLY:
        totals: list[Sample] = [
            ({"handler": each.handler}, value(each.total)) for each in overview.statistics or ()
        ]
        lines += _metric(name, "counter", help_text, totals)
    lines += _latency(overview.statistics or ())
    for name, help_text, figure in _OF_QUEUE:
        states: list[Sample] = [
            ({"queue": queue.name}, figure(queue, overview)) for queue in overview.queues or ()
        ]
        lines += _metric(name, "gauge", help_text, states)
    if overview.retrying is not None:
        between: list[Sample] = [({}, len(overview.retrying.tasks))]
        lines += _metric(
            "pushtasks_between_retries",
            "gauge",
            "Tasks that failed and wait for another attempt, of the first 1,000 listed of each queue.",
            between,
        )
    if overview.kept is not None and overview.kept.kept is not None:
        kept: list[Sample] = [({}, overview.kept.kept)]
        lines += _metric("pushtasks_kept", "gauge", "Kept tasks to decide on, up to 1,000.", kept)
    return "\n".join(lines) + "\n"


_OF_TALLY: tuple[tuple[str, str, Callable[[Tally], int]], ...] = (
    ("pushtasks_applied_total", "Tasks applied.", lambda tally: tally.applied),
    (
        "pushtasks_applied_first_attempt_total",
        "Tasks applied by their first attempt.",
        lambda tally: tally.applied_first_attempt,
    ),
    ("pushtasks_attempts_total", "Attempts of applied tasks.", lambda tally: tally.attempts),
    (
        "pushtasks_duplicates_suppressed_total",
        "Deliveries of recorded tasks.",
        lambda tally: tally.duplicates,
    ),
    ("pushtasks_rejected_total", "Tasks that can never be applied.", lambda tally: tally.rejected),
    ("pushtasks_gave_up_total", "Tasks that failed too often.", lambda tally: tally.gave_up),
    (
        "pushtasks_failures_total",
        "Failed attempts, counted when they failed; approximate.",
        lambda tally: tally.failures,
    ),
)

_OF_QUEUE: tuple[tuple[str, str, Callable[[QueueFigures, Overview], float]], ...] = (
    ("pushtasks_queue_running", "Whether the queue delivers.", lambda queue, _: queue.is_running),
    ("pushtasks_queue_tasks", "Tasks in the queue, estimated.", lambda queue, _: queue.waiting),
    ("pushtasks_queue_in_flight", "Deliveries under way, estimated.", lambda queue, _: queue.in_flight),
    (
        "pushtasks_queue_oldest_wait_seconds",
        "How long the oldest task has waited, estimated.",
        lambda queue, overview: wait_s(queue, overview.retrying, overview.at),
    ),
)


def _latency(statistics: Iterable[Statistics]) -> list[str]:
    name = "pushtasks_latency_seconds"
    lines = [
        f"# HELP {name} From enqueueing to the commit; without a sum, because only buckets are kept.",
        f"# TYPE {name} histogram",
    ]
    for each in statistics:
        passed = 0
        for bound_ms, count in zip(LATENCY_BOUNDS_MS, each.total.by_latency, strict=False):
            passed += count
            labels = {"handler": each.handler, "le": f"{bound_ms / 1000:.6g}"}
            lines.append(_line(f"{name}_bucket", labels, passed))
        total = each.total.latency_samples
        lines.append(_line(f"{name}_bucket", {"handler": each.handler, "le": "+Inf"}, total))
        lines.append(_line(f"{name}_count", {"handler": each.handler}, total))
    return lines


def _metric(name: str, kind: str, help_text: str, samples: Iterable[Sample]) -> list[str]:
    head = [f"# HELP {name} {help_text}", f"# TYPE {name} {kind}"]
    return head + [_line(name, labels, value) for labels, value in samples]


def _line(name: str, labels: dict[str, str], value: float) -> str:
    shown = ",".join(f'{label}="{_escaped(text)}"' for label, text in labels.items())
    return f"{name}{{{shown}}} {value:.10g}" if shown else f"{name} {value:.10g}"


def _escaped(text: str) -> str:
    return text.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
