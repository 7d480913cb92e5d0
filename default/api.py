"""The JSON API: enqueue increments, ask for tasks and counters."""

from __future__ import annotations

import logging
from collections import Counter
from typing import Any

from counters import reading
from counters.enqueueing import Enqueued, State
from counters.increments import Increment, InvalidPayload, parse_amount, parse_counter_name
from counters.logs import about
from counters.naming import parse_handler_name, parse_idempotency_key, parse_task_name
from counters.payloads import charset_of, json_of, kind_of
from counters.updating import HANDLER
from default.handler import Handler, ReadHandler
from default.problems import Problem

log = logging.getLogger(__name__)

MOST_A_BATCH = 500

_THERE = frozenset({State.ENQUEUED, State.DUPLICATE, State.ACCEPTED})


class _IncrementsHandler(Handler):
    """What single and batch increments have in common."""

    bare_list = ""
    """The member that a list stands for, where the body is no object but a list."""

    def key(self) -> str | None:
        return parse_idempotency_key(self.request.environ.get("HTTP_IDEMPOTENCY_KEY"))

    def members(self, expected: str) -> dict[str, Any]:
        """The JSON object in the body. Raises InvalidPayload if there is none."""
        if kind_of(self.content_type) != "application/json":
            raise InvalidPayload("Content-Type", self.content_type or None, "application/json")
        value = json_of(self.body, charset_of(self.content_type))
        if isinstance(value, list) and self.bare_list:
            value = {self.bare_list: value}
        if not isinstance(value, dict):
            raise InvalidPayload("body", value, expected)
        return value


class IncrementHandler(_IncrementsHandler):
    """POST /api/counters/NAME/increments"""

    def post(self, name: str) -> None:
        self.require_increment_rights()
        counter = parse_counter_name(name)
        amount = parse_amount(self.members('a JSON object, such as {"amount": 1}').get("amount"))
        answer = self.process.increment(Increment(counter, amount), self.key())
        log.info("Task %s", answer.state, extra=about(task=answer.task, counter=counter, amount=amount))
        if answer.state not in _THERE:
            raise not_enqueued(answer)
        self.response.headers["Location"] = f"/api/tasks/{answer.task}"
        self.json({"task": answer.task, "state": answer.state, "counter": counter, "amount": amount}, 202)


class BatchHandler(_IncrementsHandler):
    """POST /api/increments: {"increments": [...]}, or the list alone"""

    bare_list = "increments"

    def post(self) -> None:
        self.require_increment_rights()
        increments = _parse_batch(self.members('a JSON object, such as {"increments": [...]}'))
        answers = self.process.increments(increments, self.key())
        results = [
            {
                "task": answer.task,
                "state": answer.state,
                **({"detail": answer.detail} if answer.detail else {}),
            }
            for answer in answers
        ]
        states = Counter(answer.state for answer in answers)
        missing = sum(number for state, number in states.items() if state not in _THERE)
        log.info("Batch of %d, %d not enqueued", len(answers), missing)
        if missing and missing == states[State.REMOVED]:
            raise Problem(
                409,
                f"{missing} of {len(answers)} increments were removed from their queue and have not been "
                "counted: those with the state 'removed' in `results`. Send those under a new key.",
                results=results,
            )
        if missing:
            raise Problem(
                503,
                f"{missing} of {len(answers)} increments may not be enqueued: those with the state 'unknown' "
                "or 'refused' in `results`. Ask for their tasks by name, or send the batch again if it had "
                "an Idempotency-Key.",
                headers={"Retry-After": "2"},
                results=results,
            )
        self.json({"results": results}, 202)


class CountersHandler(ReadHandler):
    """GET /api/counters?prefix=&cursor="""

    def get(self) -> None:
        prefix = parse_prefix(self.query("prefix"))
        page = reading.page(self.process.database, cursor=self.query("cursor") or None, prefix=prefix)
        self.json({"counters": [described(value) for value in page.counters], "next": page.next_cursor})


class CounterHandler(ReadHandler):
    """GET /api/counters/NAME"""

    def get(self, name: str) -> None:
        parse_counter_name(name)
        value = reading.counter(self.process.database, name)
        if value is None:
            raise Problem(
                404,
                f"There is no counter {name!r}: it starts to exist when its first increment is applied.",
                field="counter",
                value=name,
                expected="the name of a counter",
            )
        self.json(described(value))


class TaskHandler(ReadHandler):
    """GET /api/tasks/NAME; of another handler than update-counter: ?handler="""

    def get(self, name: str) -> None:
        parse_task_name(name)
        handler = parse_handler_name(self.query("handler", HANDLER))
        state = reading.task(self.process.database, self.process.queues, name, handler)
        if state is None:
            raise Problem(
                404,
                f"{handler} has no task {name!r}: never enqueued, or purged, or its record expired.",
                field="task",
                value=name,
                expected=f"the name of a task of {handler} (of another handler: ?handler=NAME)",
            )
        self.json(
            {
                "task": state.name,
                "state": state.state,
                "counter": state.counter,
                "amount": state.amount,
                "attempts": state.attempts,
                "last_response": state.last_response,
            }
        )


def described(counter: reading.CounterValue) -> dict[str, object]:
    """A counter as JSON."""
    last = counter.last_applied_at
    return {
        "name": counter.name,
        "value": counter.value,
        "tasks_applied": counter.tasks_applied,
        "tasks_retried": counter.tasks_retried,
        "last_applied_at": last.isoformat() if last else None,
    }


def parse_prefix(text: str) -> str:
    """How a counter's name may begin; empty for all. Raises InvalidPayload."""
    return parse_counter_name(text, "prefix") if text else ""


def not_enqueued(answer: Enqueued) -> Problem:
    """What to say when an increment's task may not be there."""
    if answer.state is State.UNKNOWN:
        return Problem(
            503,
            f"{answer.detail}, so the task {answer.task} may be enqueued or not. "
            f"Ask for it at /api/tasks/{answer.task}, or repeat the request if it had an Idempotency-Key.",
            headers={"Retry-After": "2"},
            task=answer.task,
            state=answer.state,
        )
    if answer.state is State.REMOVED:
        return Problem(
            409,
            f"The task {answer.task} of this Idempotency-Key was removed from its queue (purged, or deleted "
            "there) and has not been counted. Nothing was enqueued. Send the increment under a new key.",
            field="Idempotency-Key",
            expected="a new key",
            task=answer.task,
            state=answer.state,
        )
    return Problem(500, f"The task queue refused: {answer.detail}", task=answer.task, state=answer.state)


def _parse_batch(members: dict[str, Any]) -> list[Increment]:
    items = members.get("increments")
    if not isinstance(items, list) or not 1 <= len(items) <= MOST_A_BATCH:
        shown = f"a list of {len(items)}" if isinstance(items, list) else items
        raise InvalidPayload("increments", shown, f"a list of 1 to {MOST_A_BATCH} increments")
    increments: list[Increment] = []
    errors: list[dict[str, object]] = []
    for index, item in enumerate(items):
        if not isinstance(item, dict):
            item = InvalidPayload("increment", item, 'an object, such as {"counter": "visits", "amount": 1}')
            errors.append(_described_error(index, item))
            continue
        found = []
        for field, parse in (("counter", parse_counter_name), ("amount", parse_amount)):
            try:
                found.append(parse(item.get(field)))
            except InvalidPayload as problem:
                errors.append(_described_error(index, problem))
        if len(found) == 2:
            increments.append(Increment(str(found[0]), int(found[1])))
    if errors:
        bad = len({error["index"] for error in errors})
        raise Problem(400, f"{bad} of {len(items)} increments are invalid; none was enqueued.", errors=errors)
    return increments


def _described_error(index: int, problem: InvalidPayload) -> dict[str, object]:
    return {
        "index": index,
        "field": problem.field,
        "value": problem.given,
        "expected": problem.expected,
    }
