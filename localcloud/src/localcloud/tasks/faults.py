"""Faults on purpose: lost requests, lost answers, duplicates, delays, drawn from a seed.

All of them happen to the real service now and then; here they happen as often as a test wants, and the same
ones again with the same seed and the same deliveries.
"""

import random
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from localcloud.tasks.clock import SECOND_US, Clock, Timer
from localcloud.tasks.delivery import Delivery, Sender, send_aside
from localcloud.tasks.outcome import Outcome

LOST_REQUEST = "fault: the request was lost before it was sent"
LOST_RESPONSE = "fault: the answer was lost"
Done = Callable[[Outcome], None]


@dataclass(frozen=True, slots=True)
class FaultPlan:
    """How likely each fault is, from 0 to 1, for each attempt by itself."""

    seed: int = 0
    lose_request: float = 0.0  # the attempt fails before anything was sent
    lose_response: float = 0.0  # the request is handled, but its answer is thrown away
    duplicate: float = 0.0  # the delivery is sent twice: at once, or again after it succeeded
    slow: float = 0.0  # the request is sent late
    slow_seconds: float = 0.5  # how late

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def fault_plan(values: object) -> FaultPlan:
    """The plan in a JSON object. Raises ValueError with a message that says what is wrong."""
    names = [field.name for field in fields(FaultPlan)]
    if not isinstance(values, Mapping):
        raise ValueError(f"expected a JSON object with some of {', '.join(names)}")
    for name, value in values.items():
        if name not in names:
            raise ValueError(f"there is no fault {name!r}; expected some of {', '.join(names)}")
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise ValueError(f"{name} is {value!r}; expected a number")
        if name == "seed":
            if not isinstance(value, int):
                raise ValueError(f"seed is {value!r}; expected a whole number")
        elif not 0 <= value <= (3600 if name == "slow_seconds" else 1):
            most = "3600 seconds" if name == "slow_seconds" else "1"
            raise ValueError(f"{name} is {value!r}; expected 0 to {most}")
    return FaultPlan(**values)


class FaultySender:
    """A Sender that does to another Sender's deliveries what the plan says; without a plan, nothing."""

    def __init__(self, sender: Sender, clock: Clock) -> None:
        self._sender = sender
        self._clock = clock
        self._plan: FaultPlan | None = None
        self._random = random.Random()
        # Copies that are under way, of deliveries that may have ended: whoever waits for quiet waits for
        # them, too.
        self.duplicates_in_flight = 0

    @property
    def plan(self) -> FaultPlan | None:
        return self._plan

    @plan.setter
    def plan(self, plan: FaultPlan | None) -> None:
        self._plan = plan
        if plan is not None:
            self._random.seed(plan.seed)

    def deadline_us(self, delivery: Delivery) -> int:
        return self._sender.deadline_us(delivery)

    def send(self, delivery: Delivery, done: Done) -> Timer:
        plan = self._plan
        if plan is None:
            return self._sender.send(delivery, done)
        # Drawn in one go, so that one fault's likelihood does not move another's draws.
        draws = [self._random.random() for _ in range(5)]
        attempt = _FaultyAttempt()
        now_us = self._clock.now_us()
        if draws[0] < plan.lose_request:
            attempt.stage = self._clock.call_at(now_us, done, Outcome(None, LOST_REQUEST))
            return attempt
        if draws[1] < plan.lose_response:
            done = _losing(done)
        doubles = draws[2] < plan.duplicate
        at_once = draws[3] < 0.5

        def begin() -> None:
            if doubles and at_once:
                self._duplicate(delivery)
            attempt.stage = self._sender.send(delivery, end)

        def end(outcome: Outcome) -> None:
            done(outcome)
            if doubles and not at_once and outcome.is_success:
                self._duplicate(delivery)

        if draws[4] < plan.slow:
            attempt.stage = self._clock.call_at(now_us + round(plan.slow_seconds * SECOND_US), begin)
        else:
            begin()
        return attempt

    def _duplicate(self, delivery: Delivery) -> None:
        self.duplicates_in_flight += 1
        send_aside(self._sender, self._clock, delivery, self._end_duplicate)

    def _end_duplicate(self, _: Outcome) -> None:
        self.duplicates_in_flight -= 1


class _FaultyAttempt:
    """An attempt that is waiting or under way; cancelling it cancels what it is at."""

    stage: Timer | None = None

    def cancel(self) -> None:
        if self.stage is not None:
            self.stage.cancel()


def _losing(done: Done) -> Done:
    def lose(outcome: Outcome) -> None:
        # A real failure stays as it is.
        done(Outcome(None, LOST_RESPONSE) if outcome.status is not None else outcome)

    return lose
