"""A counter's own page: its shards, and its share of retries."""

from __future__ import annotations

from counters import reading
from counters.increment import parse_counter_name
from pushtasks.dashboard.handler import AdminReadHandler
from pushtasks.web.problems import Problem


class CounterPageHandler(AdminReadHandler):
    """GET /admin/counters/NAME"""

    def get(self, name: str) -> None:
        parse_counter_name(name)
        counter = reading.counter(self.process.database, name)
        if counter is None:
            raise Problem(404, f"There is no counter {name!r}.", field="counter", value=name)
        moved = sum(abs(shard.value) for shard in counter.shards)
        self.admin_page("admin/counter.html", counter=counter, moved=moved)
