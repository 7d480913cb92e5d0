"""The public page: the counters, a button to add one to each, and a form to start or change one."""

from __future__ import annotations

import logging
import secrets
from dataclasses import dataclass
from urllib.parse import urlencode

from counters import values
from counters.increment import Increment, parse_amount, parse_counter_name
from counters.update_counter import UpdateCounter
from default.panel import parse_prefix
from default.rights import IncrementsHandler
from default.service import CounterService
from pushtasks import names
from pushtasks.enqueue import State
from pushtasks.errors import OutcomeUnknown, QueueRefused, Rejected, TaskFailure, in_full
from pushtasks.task_state import task_state
from pushtasks.web.handler import ReadHandler
from pushtasks.web.problems import not_enqueued

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Arrival:
    """The increment that this page's last form sent, on its way into its counter."""

    task: str
    counter: str
    state: str
    reached: values.CounterValue | None

    def kept_in_sight(self, listed: list[values.CounterValue]) -> list[values.CounterValue]:
        """`listed`, with the counter itself on top where this page of many would not show it."""
        if self.reached is None or any(each.name == self.counter for each in listed):
            return listed
        return [self.reached, *listed]


class HomeHandler(ReadHandler):
    """GET / is the page; GET /live is the part of it that changes, for script to put in its place."""

    service: CounterService

    def get(self) -> None:
        problem, is_readable, is_part = None, True, self.request.path == "/live"
        prefix, cursor = self.query("prefix"), self.query("cursor") or None
        try:
            counters = values.page(self.service.database, cursor=cursor, prefix=parse_prefix(prefix))
            arrival = self._arrival()
        except TaskFailure as failure:
            log.warning("The counters can't be shown: %s", in_full(failure))
            counters, arrival, is_readable = values.CounterPage([], None), None, False
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
        except Rejected:
            counters, arrival = values.CounterPage([], None), None
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
            open_to_caller=self.service.settings.api_access == "open" or self.caller.is_admin,
            form_key=secrets.token_hex(12),
            live="/live"
            + _address(prefix, cursor, self.query("task"), self.query("counter"), self.query("was"))[1:],
        )

    def _arrival(self) -> Arrival | None:
        try:
            task = names.parse_task_name(self.query("task"))
            counter = parse_counter_name(self.query("counter"))
        except Rejected:
            return None
        kind = self.service.kinds.of(UpdateCounter)
        state = task_state(self.service.database, self.service.queues, kind, task)
        if state is None:
            return None
        return Arrival(task, counter, state.state, values.counter(self.service.database, counter))


class FormHandler(IncrementsHandler):
    """POST /counters/NAME/increments, or /counters/increments where the form names the counter."""

    def post(self, name: str = "") -> None:
        self.require_increment_rights(by_page=True)
        increment = Increment(
            parse_counter_name(name or self.field("counter").strip()),
            parse_amount(self.field("amount").strip() if "amount" in self.form else None),
        )
        answer = self.service.increment(increment, names.parse_idempotency_key(self.field("key") or None))
        if not answer.is_there:
            raise not_enqueued(answer)
        prefix, cursor = self.field("prefix"), self.field("cursor")
        self.see_other(_address(prefix, cursor or None, answer.task, increment.counter, answer.state))


def _address(prefix: str, cursor: str | None, task: str, counter: str, was: str) -> str:
    """The page's address, with those of the values that say something."""
    query = {"prefix": prefix, "cursor": cursor, "task": task, "counter": counter, "was": was}
    said = urlencode({name: value for name, value in query.items() if value})
    return f"/?{said}" if said else "/"
