"""The JSON API: enqueue an increment, ask for tasks and counters. A batch: `default.batch`."""

from __future__ import annotations

import logging

from counters import values
from counters.increment import Increment, parse_amount, parse_counter_name
from counters.update_counter import UpdateCounter
from default.panel import described, parse_prefix
from default.rights import IncrementsHandler
from pushtasks.logs import about
from pushtasks.names import parse_handler_name, parse_task_name
from pushtasks.task_state import task_state
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
    """GET /api/counters/NAME"""

    def get(self, name: str) -> None:
        parse_counter_name(name)
        value = values.counter(self.service.database, name)
        if value is None:
            raise Problem(
                404,
                f"There is no counter {name!r}: it starts to exist when its first increment is applied.",
                field="counter",
                value=name,
                expected="the name of a counter",
            )
        self.json(described(value))


class TaskStateHandler(ReadHandler):
    """GET /api/tasks/NAME; of another kind than update-counter: ?handler=KIND"""

    def get(self, name: str) -> None:
        parse_task_name(name)
        handler = parse_handler_name(self.query("handler", UpdateCounter.name))
        kind = self.service.kinds.get(handler)
        state = task_state(self.service.database, self.service.queues, kind, name) if kind else None
        if state is None:
            raise Problem(
                404,
                f"{handler} has no task {name!r}: never enqueued, or purged, or its record expired.",
                field="task",
                value=name,
                expected=f"the name of a task of {handler} (of another kind: ?handler=KIND)",
            )
        body = {
            "task": state.name,
            "state": state.state,
            "note": state.note,
            "attempts": state.attempts,
            "last_response": state.last_response,
        }
        self.json({name: value for name, value in body.items() if value is not None})
