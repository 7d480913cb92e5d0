"""The public page: the counters, a button to add one to each, and a form to start or change one."""

from __future__ import annotations

import logging
import secrets
from dataclasses import dataclass
from urllib.parse import urlencode

from counters import naming, reading
from counters.enqueueing import State
from counters.increments import Increment, InvalidPayload, parse_amount, parse_counter_name
from counters.queues import OutcomeUnknown, QueueRefused
from counters.tasks import TaskFailure, in_full
from default.api import not_enqueued, parse_prefix
from default.handler import Handler, ReadHandler

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Arrival:
    """The increment that this page's last form sent, on its way into its counter."""

    task: str
    counter: str
    state: str
    reached: reading.CounterValue | None

    def kept_in_sight(self, listed: list[reading.CounterValue]) -> list[reading.CounterValue]:
        """`listed`, with the counter itself on top where this page of many would not show it."""
        if self.reached is None or any(each.name == self.counter for each in listed):
            return listed
        return [self.reached, *listed]


class HomeHandler(ReadHandler):
    """GET / is the page; GET /live is the part of it that changes, for script to put in its place."""

    def get(self) -> None:
        problem, is_readable, is_part = None, True, self.request.path == "/live"
        prefix, cursor = self.query("prefix"), self.query("cursor") or None
        try:
            counters = reading.page(self.process.database, cursor=cursor, prefix=parse_prefix(prefix))
            arrival = self._arrival()
        except TaskFailure as failure:
            log.warning("The counters can't be shown: %s", in_full(failure))
            counters, arrival, is_readable = reading.CounterPage([], None), None, False
            problem = (
                "The counters can't be read just now, and this page's buttons count nothing until they can. "
                "Try again in a moment."
            )
        except (OutcomeUnknown, QueueRefused) as failure:
            log.warning("What became of a form can't be shown: %s", in_full(failure))
            arrival = None
            problem = (
                "The queue does not answer just now, so this page can't tell whether the last increment has "
                "arrived. An increment that was accepted is counted all the same."
            )
        except InvalidPayload:
            counters, arrival = reading.CounterPage([], None), None
        self.page(
            "_public.html" if is_part else "public.html",
            status=200 if is_readable else 503,
            is_readable=is_readable,
            is_part=is_part,
            listed=arrival.kept_in_sight(counters.counters) if arrival else counters.counters,
            next_cursor=counters.next_cursor,
            arrival=arrival,
            duplicate=self.query("was") == State.DUPLICATE,
            problem=problem,
            prefix=prefix,
            cursor=cursor,
            open_to_caller=self.process.settings.api_access == "open" or self.caller.is_admin,
            form_key=secrets.token_hex(12),
            live="/live"
            + _address(prefix, cursor, self.query("task"), self.query("counter"), self.query("was"))[1:],
        )

    def _arrival(self) -> Arrival | None:
        try:
            task = naming.parse_task_name(self.query("task"))
            counter = parse_counter_name(self.query("counter"))
        except InvalidPayload:
            return None
        state = reading.task(self.process.database, self.process.queues, task)
        if state is None:
            return None
        return Arrival(task, counter, state.state, reading.counter(self.process.database, counter))


class FormHandler(Handler):
    """POST /counters/NAME/increments, or /counters/increments where the form names the counter."""

    def post(self, name: str = "") -> None:
        self.require_increment_rights(by_page=True)
        increment = Increment(
            parse_counter_name(name or self.field("counter").strip()),
            parse_amount(self.field("amount").strip() if "amount" in self.form else None),
        )
        answer = self.process.increment(increment, naming.parse_idempotency_key(self.field("key") or None))
        if answer.state not in (State.ENQUEUED, State.DUPLICATE, State.ACCEPTED):
            raise not_enqueued(answer)
        prefix, cursor = self.field("prefix"), self.field("cursor")
        self.see_other(_address(prefix, cursor or None, answer.task, increment.counter, answer.state))


def _address(prefix: str, cursor: str | None, task: str, counter: str, was: str) -> str:
    """The page's address, with those of the values that say something."""
    values = {"prefix": prefix, "cursor": cursor, "task": task, "counter": counter, "was": was}
    query = urlencode({name: value for name, value in values.items() if value})
    return f"/?{query}" if query else "/"
