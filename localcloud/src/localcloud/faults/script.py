"""Which call is spoiled, and how: rules that can be repeated exactly."""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any


class Kind(Enum):
    """What happens to a call."""

    # The server never sees it; the client gets `code`.
    REQUEST_LOST = "request_lost"
    # The server has done it; the client gets `code` instead of the answer.
    RESPONSE_LOST = "response_lost"
    # It reaches the server `delay_seconds` later.
    DELAY = "delay"
    # The answer reaches the client `delay_seconds` later.
    DELAY_RESPONSE = "delay_response"


CODES = (
    "UNAVAILABLE",
    "DEADLINE_EXCEEDED",
    "ABORTED",
    "INTERNAL",
    "RESOURCE_EXHAUSTED",
    "UNKNOWN",
    "UNIMPLEMENTED",
)


class ScriptError(ValueError):
    """A rule can't be followed. The text is one line."""


@dataclass(slots=True)
class Rule:
    """Spoils calls of `method` (`*`: all). Without any of `calls`, `every` and `probability`: each call."""

    fault: Kind
    method: str = "*"
    # Which calls of the method, counted from 1 since the rule was set.
    calls: tuple[int, ...] = ()
    every: int | None = None
    # By chance, repeatable by `seed`.
    probability: float | None = None
    seed: int = 0
    # At most this often, and only for this long after the rule was set.
    times: int | None = None
    for_seconds: float | None = None
    delay_seconds: float = 0.0
    code: str = "UNAVAILABLE"
    seen: int = 0
    struck: int = 0
    began: float = 0.0
    _chance: random.Random = field(default_factory=random.Random)

    def strikes(self, method: str, now: float) -> bool:
        """Is this call spoiled? Counts it."""
        if self.method not in ("*", method):
            return False
        self.seen += 1
        if self.for_seconds is not None and now - self.began > self.for_seconds:
            return False
        if self.times is not None and self.struck >= self.times:
            return False
        hit = self._is_chosen()
        self.struck += hit
        return hit

    def _is_chosen(self) -> bool:
        if self.calls:
            return self.seen in self.calls
        if self.every is not None:
            return self.seen % self.every == 0
        if self.probability is not None:
            return self._chance.random() < self.probability
        return True


class Script:
    """The rules for one server, in order: the first that strikes decides."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self.rules: list[Rule] = []
        self.calls: Counter[str] = Counter()

    def replace(self, rules: Sequence[Mapping[str, Any]]) -> None:
        """Forget the present rules and begin with these. Raises ScriptError and changes nothing."""
        fresh = [_rule(number, rule, self._clock()) for number, rule in enumerate(rules, 1)]
        self.rules = fresh

    def decide(self, method: str) -> Rule | None:
        """What happens to this call; None: nothing."""
        self.calls[method] += 1
        now = self._clock()
        return next((rule for rule in self.rules if rule.strikes(method, now)), None)

    def report(self) -> dict[str, Any]:
        """Calls by method, and how often each rule saw and spoiled one."""
        return {
            "calls": dict(self.calls),
            "rules": [
                {"fault": rule.fault.value, "method": rule.method, "seen": rule.seen, "struck": rule.struck}
                for rule in self.rules
            ],
        }


_FIELDS: dict[str, tuple[type, ...]] = {
    "fault": (str,),
    "method": (str,),
    "calls": (list, tuple),
    "every": (int,),
    "probability": (int, float),
    "seed": (int,),
    "times": (int,),
    "for_seconds": (int, float),
    "delay_seconds": (int, float),
    "code": (str,),
}


def _rule(number: int, given: Mapping[str, Any], now: float) -> Rule:
    if not isinstance(given, Mapping):
        raise ScriptError(f"rule {number}: expected an object like {{'fault': 'response_lost'}}")
    for name, value in given.items():
        if name not in _FIELDS:
            raise ScriptError(f"rule {number}: unknown key {name!r}; known are {', '.join(_FIELDS)}")
        if not isinstance(value, _FIELDS[name]) or isinstance(value, bool):
            raise ScriptError(f"rule {number}, {name}: {value!r} is of the wrong type")
    kinds = [kind.value for kind in Kind]
    if given.get("fault") not in kinds:
        raise ScriptError(f"rule {number}, fault: {given.get('fault')!r}; expected one of {', '.join(kinds)}")
    code = given.get("code", "UNAVAILABLE")
    if code not in CODES:
        raise ScriptError(f"rule {number}, code: {code!r}; expected one of {', '.join(CODES)}")
    if given.get("every", 1) < 1 or not 0 <= given.get("probability", 0) <= 1:
        raise ScriptError(f"rule {number}: every is 1 or more, probability from 0 to 1")
    values = {**given, "fault": Kind(given["fault"]), "calls": tuple(given.get("calls", ()))}
    return Rule(**values, began=now, _chance=random.Random(given.get("seed", 0)))
