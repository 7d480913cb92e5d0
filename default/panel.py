"""The dashboard's panel of counters, and its addresses."""

from __future__ import annotations

from collections.abc import Mapping

from counters import values
from counters.increment import parse_counter_name
from counters.values import CounterPage, CounterValue
from pushtasks.dashboard.exports import CSV_ROWS, CsvHandler, iso
from pushtasks.dashboard.handler import AdminReadHandler
from pushtasks.database import Database
from pushtasks.overview import Panel
from pushtasks.web.problems import Problem


class CountersPanel(Panel):
    """Counters by name, a page at a time."""

    name = "counters"
    template = "admin/_counters.html"
    parameters = ("prefix", "cursor")
    links = (("/admin/counters.csv", "Counters as CSV"),)

    def read(self, database: Database, query: Mapping[str, str]) -> CounterPage:
        prefix, cursor = query.get("prefix", ""), query.get("cursor", "")
        return values.page(database, prefix=parse_prefix(prefix), cursor=cursor or None)

    def as_json(self, found: CounterPage) -> object:
        return {"counters": [described(each) for each in found.counters], "next": found.next_cursor}


class CounterPageHandler(AdminReadHandler):
    """GET /admin/counters/NAME: a counter's shards, and its share of retries."""

    def get(self, name: str) -> None:
        parse_counter_name(name)
        counter = values.counter(self.service.database, name)
        if counter is None:
            raise Problem(404, f"There is no counter {name!r}.", field="counter", value=name)
        moved = sum(abs(shard.value) for shard in counter.shards)
        self.admin_page("admin/counter.html", counter=counter, moved=moved)


class CountersCsvHandler(CsvHandler):
    """GET /admin/counters.csv?prefix=&cursor=: up to 1,000 rows; the Link header leads to more."""

    def get(self) -> None:
        prefix, cursor = parse_prefix(self.query("prefix")), self.query("cursor") or None
        page = values.page(self.service.database, prefix=prefix, cursor=cursor, size=CSV_ROWS)
        header = ("counter", "value", "increments", "tasks_applied", "tasks_retried", "last_applied_at")
        rows = [tuple(described(each).values()) for each in page.counters]
        self.csv("counters", header, rows, {"prefix": prefix, "cursor": page.next_cursor or ""})


PANEL_ROUTES = [
    ("/admin/counters.csv", CountersCsvHandler),
    ("/admin/counters/([^/]+)", CounterPageHandler),
]


def described(counter: CounterValue) -> dict[str, object]:
    """A counter as JSON."""
    return {
        "name": counter.name,
        "value": counter.value,
        "increments": counter.increments,
        "tasks_applied": counter.tasks_applied,
        "tasks_retried": counter.tasks_retried,
        "last_applied_at": iso(counter.last_applied_at),
    }


def parse_prefix(text: str) -> str:
    """How a counter's name may begin; empty for all. Raises Rejected."""
    return parse_counter_name(text, "prefix") if text else ""
