"""What an increment is: which counter, by how much; and what is said of one that is none."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from math import isfinite

NAME_EXPECTED = "1 to 100 of letters, digits, '.', '_' and '-', starting with a letter or digit"
AMOUNT_EXPECTED = "a whole number from -2147483648 to 2147483647, not 0"

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_AMOUNT = re.compile(r"[+-]?[0-9]{1,10}")
_LOWEST, _HIGHEST = -(2**31), 2**31 - 1
_MOST_REPEATED = 200


class InvalidPayload(Exception):
    """A task's or request's data that can never be applied: where, what was there, what was expected."""

    def __init__(self, field: str, value: object, expected: str) -> None:
        shown = repr(value)
        # Payloads name fields as they like, but what is said of them must be storable and short.
        self.field = field if len(field) <= 100 and field.isprintable() else repr(field)[:100]
        self.value = shown if len(shown) <= 200 else shown[:197] + "..."
        self.given = value if _is_short(value) else self.value
        """The value itself, for JSON; in words where it is long, or of a kind that JSON has not."""
        self.expected = expected
        super().__init__(self.sentence)

    @property
    def rule(self) -> str:
        """What was broken, the same for every payload that broke it: a reason to group by."""
        return f"{self.field}: expected {self.expected}"

    @property
    def sentence(self) -> str:
        state = "is missing" if self.value == "None" else f"is {self.value}"
        return f"{self.field} {state}. Expected {self.expected}."


def _is_short(value: object) -> bool:
    """Whether JSON can repeat the value in little space."""
    if isinstance(value, float):
        return isfinite(value)
    return value is None or (isinstance(value, str | int) and len(str(value)) <= _MOST_REPEATED)


@dataclass(frozen=True, slots=True)
class Increment:
    """An amount to add to a counter. Both fields are valid."""

    counter: str
    amount: int


def parse_counter_name(value: object, field: str = "counter") -> str:
    if not isinstance(value, str) or not _NAME.fullmatch(value):
        raise InvalidPayload(field, value, NAME_EXPECTED)
    return value


def parse_amount(value: object, field: str = "amount") -> int:
    """The amount, given as a number (JSON) or as text (a form)."""
    if isinstance(value, str) and _AMOUNT.fullmatch(value):
        number = int(value)
    elif isinstance(value, int) and not isinstance(value, bool):
        number = value
    else:
        raise InvalidPayload(field, value, AMOUNT_EXPECTED)
    if number == 0 or not _LOWEST <= number <= _HIGHEST:
        raise InvalidPayload(field, value, AMOUNT_EXPECTED)
    return number


def parse_increment(fields: Mapping[str, object]) -> Increment:
    """The increment that named values describe. Raises InvalidPayload for what is missing or unfit."""
    return Increment(parse_counter_name(fields.get("counter")), parse_amount(fields.get("amount")))
