"""POST /api/increments: a batch of increments, which becomes one task."""

from __future__ import annotations

import logging
from typing import Any

from counters.increment import (
    INCREMENT_EXPECTED,
    MOST_COUNTERS,
    MOST_INCREMENTS,
    Increment,
    parse_amount,
    parse_counter_name,
    parse_increment,
)
from default.rights import IncrementsHandler
from pushtasks.errors import Rejected
from pushtasks.logs import about
from pushtasks.web.problems import Problem, not_enqueued

log = logging.getLogger(__name__)


class BatchHandler(IncrementsHandler):
    """{"increments": [{"counter": "visits", "amount": 1}, ...]}, or the list alone. All or nothing."""

    def post(self) -> None:
        self.require_increment_rights()
        increments = _parse(self.json_object('a JSON object, such as {"increments": [...]}', "increments"))
        counters = len({each.counter for each in increments})
        if counters > MOST_COUNTERS:
            raise _too_large(f"{counters} counters", f"at most {MOST_COUNTERS} different counters")
        try:
            answer = self.service.batch(increments, self.idempotency_key)
        except Rejected as too_large:
            raise _too_large(too_large.value, too_large.expected) from too_large
        log.info(
            "Task %s",
            answer.state,
            extra=about(task=answer.task, increments=len(increments), counters=counters),
        )
        if not answer.is_there:
            raise not_enqueued(answer)
        self.response.headers["Location"] = f"/api/tasks/{answer.task}"
        self.json(
            {
                "task": answer.task,
                "state": answer.state,
                "increments": len(increments),
                "counters": counters,
            },
            202,
        )


def _parse(members: dict[str, Any]) -> list[Increment]:
    """The increments. Raises Problem that names every bad one, or Rejected."""
    items = members.get("increments")
    if not isinstance(items, list) or not items:
        raise Rejected("increments", items, f"a list of 1 to {MOST_INCREMENTS} increments")
    if len(items) > MOST_INCREMENTS:
        raise _too_large(f"{len(items)} increments", f"a list of 1 to {MOST_INCREMENTS} increments")
    try:
        return [parse_increment(item if isinstance(item, dict) else {}) for item in items]
    except Rejected:
        raise _invalid(items) from None


def _invalid(items: list[object]) -> Problem:
    """The problem that names every error."""
    errors: list[dict[str, object]] = []
    for index, item in enumerate(items):
        if not isinstance(item, dict):
            errors.append(_error(index, Rejected("increment", item, INCREMENT_EXPECTED)))
            continue
        for field, parse in (("counter", parse_counter_name), ("amount", parse_amount)):
            try:
                parse(item.get(field))
            except Rejected as problem:
                errors.append(_error(index, problem))
    bad = len({error["index"] for error in errors})
    return Problem(400, f"{bad} of {len(items)} increments are invalid; none was enqueued.", errors=errors)


def _error(index: int, problem: Rejected) -> dict[str, object]:
    return {
        "index": index,
        "field": problem.field,
        "value": problem.given,
        "expected": problem.expected,
    }


def _too_large(given: str, expected: str) -> Problem:
    return Problem(
        413,
        f"The batch is too large: {given}. Expected {expected}. Nothing was enqueued; send it in parts.",
        field="increments",
        value=given,
        expected=expected,
    )
