"""The JSON API: enqueue an increment, ask for counters. A batch: `default.batch`."""

from __future__ import annotations

import logging

from counters import values
from counters.history import Series
from counters.increment import Increment, parse_amount, parse_counter_name
from default.panel import described, parse_prefix
from default.rights import IncrementsHandler
from pushtasks.logs import about
from pushtasks.ring import parse_spans
from pushtasks.web.handler import ReadHandler
from pushtasks.web.problems import Problem, not_enqueued

log = logging.getLogger(__name__)


class IncrementHandler(IncrementsHandler):
    """POST /api/counters/NAME/increments"""

    def post(self, name: str) -> None:
        self.require_increment_rights()
        counter = parse_counter_name(name)
        amount = parse_amount(self.json_object('a JSON object, such as {"amount": 1}').get("amount"))
        answer = self.service.increment(Increment(counter, amount), self.idempotency_key)
        log.info("Task %s", answer.state, extra=about(task=answer.task, counter=counter, amount=amount))
        if not answer.is_there:
            raise not_enqueued(answer)
        self.response.headers["Location"] = f"/api/tasks/{answer.task}"
        self.json({"task": answer.task, "state": answer.state, "counter": counter, "amount": amount}, 202)


class CountersHandler(ReadHandler):
    """GET /api/counters?prefix=&cursor="""

    def get(self) -> None:
        prefix = parse_prefix(self.query("prefix"))
        page = values.page(self.service.database, cursor=self.query("cursor") or None, prefix=prefix)
        self.json({"counters": [described(value) for value in page.counters], "next": page.next_cursor})


class CounterHandler(ReadHandler):
    """GET /api/counters/NAME?history=hour,day,week,year"""

    def get(self, name: str) -> None:
        parse_counter_name(name)
        wanted = self.query("history")
        spans = parse_spans(wanted) if wanted else []
        value = values.counter(self.service.database, name)
        if value is None:
            raise Problem(
                404,
                f"There is no counter {name!r}: it starts to exist when its first increment is applied.",
                field="counter",
                value=name,
                expected="the name of a counter",
            )
        body = described(value)
        if spans:
            found = value.history(spans, self.service.clock())
            body["history"] = {name: described_series(series) for name, series in found.items()}
        self.json(body)


def described_series(series: Series) -> dict[str, object]:
    """A counter's history over a span as JSON: its periods oldest first, the last of them still under way."""
    return {
        "starts_at": series.points[0].starts_at.isoformat(),
        "period_s": series.span.scale.period_s,
        "value_before": series.value_before,
        "amounts": [point.amount for point in series.points],
        "increments": [point.increments for point in series.points],
    }
