"""The public page: the counters, a button to add one to each, and a form to start or change one."""

from __future__ import annotations

import logging
import secrets
from dataclasses import dataclass
from urllib.parse import urlencode

from counters import values
from counters.increment import AMOUNT_PATTERN, Increment, parse_amount, parse_counter_name
from counters.update_counter import UpdateCounter
from default.counter_charts import SPAN_NAMES, counter_charts
from default.panel import parse_prefix
from default.rights import IncrementsHandler
from default.service import CounterService
from pushtasks import names
from pushtasks.enqueue import State
from pushtasks.errors import OutcomeUnknown, QueueRefused, Rejected, TaskFailure, in_full
from pushtasks.task_state import task_state
from pushtasks.web.handler import Handler, ReadHandler
from pushtasks.web.problems import Problem, invalid, not_enqueued, wants_page

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Arrival:
    """The increment that this page's last form sent, until it is applied."""

    task: str
    counter: str
    state: str
    reached: values.CounterValue | None

    def kept_in_sight(self, listed: list[values.CounterValue]) -> list[values.CounterValue]:
        """`listed`, with the counter itself on top where this page of many would not show it."""
        if self.reached is None or any(each.name == self.counter for each in listed):
            return listed
        return [self.reached, *listed]


@dataclass(frozen=True, slots=True)
class Sent:
    """The fields of a form that could not be used, and what was wrong with it."""

    counter: str = ""
    amount: str = "1"
    key: str = ""
    """Its Idempotency-Key, if it is to be sent again under the same one."""
    problem: str = ""
    wrong: str = ""
    """The field that the problem is about; empty if it isn't about a field."""
    status: int = 200


class PublicPage(Handler):
    """The public page, and the part of it that changes."""

    service: CounterService

    def show(self, sent: Sent) -> None:
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
        if sent.problem and not sent.wrong:
            problem = sent.problem
        self.page(
            "_public.html" if is_part else "public.html",
            status=sent.status if is_readable else 503,
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
            form_key=sent.key.removesuffix("-form") or secrets.token_hex(12),
            sent=sent,
            amount_pattern=AMOUNT_PATTERN,
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


class HomeHandler(PublicPage, ReadHandler):
    """GET / is the page; GET /live is the part of it that changes, for script to put in its place."""

    def get(self) -> None:
        self.show(Sent())


class CounterPageHandler(ReadHandler):
    """GET /counters/NAME?span=hour|day|week|year: a counter, and how its value grew."""

    service: CounterService

    def get(self, name: str) -> None:
        parse_counter_name(name)
        counter = values.counter(self.service.database, name)
        if counter is None:
            raise Problem(
                404,
                f"There is no counter {name!r}: it starts to exist when its first increment is applied.",
                field="counter",
                value=name,
            )
        self.page(
            "counter.html",
            counter=counter,
            charts=counter_charts(counter, self.query("span", "day"), self.service.clock()),
            span_names=SPAN_NAMES,
            here=self.request.path_qs,
        )


class FormHandler(IncrementsHandler, PublicPage):
    """POST /counters/NAME/increments, or /counters/increments where the form names the counter.

    What can't be used is answered with the page again: the fields as they were, the problem beside them.
    """

    def post(self, name: str = "") -> None:
        self.require_increment_rights(by_page=True)
        try:
            self._increment(name)
        except (Rejected, Problem) as refused:
            if not wants_page(self.headers.get("accept", "")):
                raise
            self._show_again(refused)

    def _increment(self, name: str) -> None:
        increment = Increment(
            parse_counter_name(name or self.field("counter").strip()),
            parse_amount(self.field("amount").strip() if "amount" in self.form else None),
        )
        answer = self.service.increment(increment, names.parse_idempotency_key(self.field("key") or None))
        if not answer.is_there:
            raise not_enqueued(answer)
        prefix, cursor = self.field("prefix"), self.field("cursor")
        self.see_other(_address(prefix, cursor or None, answer.task, increment.counter, answer.state))

    def _show_again(self, refused: Rejected | Problem) -> None:
        problem = invalid(refused) if isinstance(refused, Rejected) else refused
        field = str(problem.members.get("field", ""))
        is_of_form = self.request.path == "/counters/increments"
        self.response.headers.update(problem.headers)
        self.show(
            Sent(
                counter=self.field("counter"),
                amount=self.field("amount") if is_of_form else "1",
                # Whether it was enqueued may be unknown: sent again under its key it is counted once.
                key=self.field("key") if problem.status == 503 else "",
                problem=problem.detail,
                wrong=field if is_of_form and field in ("counter", "amount") else "",
                status=problem.status,
            )
        )


def _address(prefix: str, cursor: str | None, task: str, counter: str, was: str) -> str:
    """The page's address, with the values that aren't empty."""
    query = {"prefix": prefix, "cursor": cursor, "task": task, "counter": counter, "was": was}
    said = urlencode({name: value for name, value in query.items() if value})
    return f"/?{said}" if said else "/"
