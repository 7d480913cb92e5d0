"""What an increment is: which counter, and by how much."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from pushtasks.errors import Rejected

NAME_EXPECTED = "1 to 100 of letters, digits, '.', '_' and '-', starting with a letter or digit"
AMOUNT_EXPECTED = "a whole number from -2147483648 to 2147483647, not 0"
INCREMENT_EXPECTED = 'an object, such as {"counter": "visits", "amount": 1}'

MOST_INCREMENTS, MOST_COUNTERS = 1000, 400
"""Of one batch, which is one task and one transaction: 400 shards with their histories fit into a commit."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_AMOUNT = re.compile(r"[+-]?[0-9]{1,10}")
_LOWEST, _HIGHEST = -(2**31), 2**31 - 1


class Increment(NamedTuple):
    """An amount to add to a counter. Both fields are valid."""

    counter: str
    amount: int

    @property
    def payload(self) -> dict[str, object]:
        return {"counter": self.counter, "amount": self.amount}


def parse_counter_name(value: object, field: str = "counter") -> str:
    if not isinstance(value, str) or not _NAME.fullmatch(value):
        raise Rejected(field, value, NAME_EXPECTED)
    return value


def parse_amount(value: object, field: str = "amount") -> int:
    """The amount, given as a number (JSON) or as text (a form)."""
    if isinstance(value, str) and _AMOUNT.fullmatch(value):
        number = int(value)
    elif isinstance(value, int) and not isinstance(value, bool):
        number = value
    else:
        raise Rejected(field, value, AMOUNT_EXPECTED)
    if number == 0 or not _LOWEST <= number <= _HIGHEST:
        raise Rejected(field, value, AMOUNT_EXPECTED)
    return number


def parse_increment(fields: Mapping[str, object]) -> Increment:
    """The increment that named values describe. Raises Rejected for what is missing or unfit."""
    return Increment(parse_counter_name(fields.get("counter")), parse_amount(fields.get("amount")))


def parse_increments(fields: Mapping[str, object]) -> tuple[Increment, ...]:
    """The increments of a task: one, or those of a batch.

    {"counter": "visits", "amount": 1}, or {"increments": [{"counter": "visits", "amount": 1}, ...]}
    """
    if "increments" not in fields:
        return (parse_increment(fields),)
    items = fields["increments"]
    if not isinstance(items, list) or not 1 <= len(items) <= MOST_INCREMENTS:
        raise Rejected("increments", items, f"a list of 1 to {MOST_INCREMENTS} increments")
    increments = []
    for index, item in enumerate(items):
        if not isinstance(item, dict):
            raise Rejected(f"increments[{index}]", item, INCREMENT_EXPECTED)
        increments.append(parse_increment(item))
    if len({each.counter for each in increments}) > MOST_COUNTERS:
        raise Rejected("increments", f"{len(increments)} increments", f"at most {MOST_COUNTERS} counters")
    return tuple(increments)


def sums_of(increments: Sequence[Increment]) -> dict[str, tuple[int, int]]:
    """By counter: how many increments, and what they add up to."""
    sums: dict[str, tuple[int, int]] = {}
    for each in increments:
        count, amount = sums.get(each.counter, (0, 0))
        sums[each.counter] = (count + 1, amount + each.amount)
    return sums
