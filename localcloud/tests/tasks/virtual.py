"""A world without sockets and without waiting: a clock that jumps, a target that answers as told."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Sequence
from typing import Any

from localcloud.tasks.clock import MILLISECOND_US, SECOND_US
from localcloud.tasks.delivery import Delivery
from localcloud.tasks.dispatcher import Dispatcher
from localcloud.tasks.messages import Message, Task
from localcloud.tasks.outcome import Outcome
from localcloud.tasks.queue import Queue
from localcloud.tasks.queue_config import QueueConfig
from localcloud.tasks.task import LiveTask

START_US = 1_800_000_000 * SECOND_US
NAME = "projects/p/locations/l/queues/q"
OK = Outcome(200)
BROKEN = Outcome(500)
UNREACHABLE = Outcome(None, "no connection")


class VirtualTimer:
    """A call in the virtual future."""

    def __init__(self, callback: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
        self._callback = callback
        self._arguments = arguments
        self.is_cancelled = False

    def cancel(self) -> None:
        self.is_cancelled = True

    def fire(self) -> None:
        if not self.is_cancelled:
            self._callback(*self._arguments)


class VirtualClock:
    """Stands still until it is advanced; then everything happens at exactly its time."""

    def __init__(self) -> None:
        self._now_us = START_US
        self._timers: list[tuple[int, int, VirtualTimer]] = []
        self._count = 0

    def now_us(self) -> int:
        return self._now_us

    def call_at(self, when_us: int, callback: Callable[..., Any], *arguments: Any) -> VirtualTimer:
        timer = VirtualTimer(callback, arguments)
        self._count += 1
        heapq.heappush(self._timers, (max(when_us, self._now_us), self._count, timer))
        return timer

    def advance(self, seconds: float) -> None:
        """Let `seconds` pass."""
        end_us = self._now_us + round(seconds * SECOND_US)
        while self._timers and self._timers[0][0] <= end_us:
            self._now_us, _, timer = heapq.heappop(self._timers)
            timer.fire()
        self._now_us = end_us

    @property
    def elapsed_ms(self) -> float:
        return (self._now_us - START_US) / MILLISECOND_US


class ScriptedTarget:
    """A Sender whose target answers with one outcome after another, then always with the last one."""

    def __init__(self, clock: VirtualClock, outcomes: Sequence[Outcome], takes_seconds: float = 0.0) -> None:
        self._clock = clock
        self._outcomes = list(outcomes)
        self.takes_us = round(takes_seconds * SECOND_US)
        self.limit_us = 600 * SECOND_US
        self.deliveries: list[Delivery] = []
        self.times_ms: list[float] = []
        self.in_flight = 0
        self.most_in_flight = 0

    def send(self, delivery: Delivery, done: Callable[[Outcome], None]) -> VirtualTimer:
        self.deliveries.append(delivery)
        self.times_ms.append(self._clock.elapsed_ms)
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        outcome = self._outcomes.pop(0) if len(self._outcomes) > 1 else self._outcomes[0]

        def answer() -> None:
            self.in_flight -= 1
            done(outcome)

        return self._clock.call_at(self._clock.now_us() + self.takes_us, answer)

    def deadline_us(self, delivery: Delivery) -> int:
        return self.limit_us


class Notes:
    """A Journal and a Watcher that write down what they are told."""

    def __init__(self) -> None:
        self.updated: list[str] = []
        self.removed: list[str] = []
        self.given_up: list[str] = []
        self.expired_tasks: list[str] = []
        self.rates: list[float] = []
        self.outcomes: list[Outcome] = []

    def update(self, task: LiveTask) -> None:
        self.updated.append(task.id)

    def remove(self, task: LiveTask) -> None:
        self.removed.append(task.id)

    def succeeded(self, delivery: Delivery, outcome: Outcome) -> None:
        self.outcomes.append(outcome)

    def failed(self, delivery: Delivery, outcome: Outcome, now_us: int) -> None:
        self.outcomes.append(outcome)

    def gave_up(self, delivery: Delivery, outcome: Outcome) -> None:
        self.outcomes.append(outcome)
        self.given_up.append(delivery.task.id)

    def expired(self, task: LiveTask) -> None:
        self.expired_tasks.append(task.id)

    def changed_pace(self, rate_per_second: float, task: LiveTask) -> None:
        self.rates.append(rate_per_second)


class World:
    """One queue and its dispatcher, a scripted target, a virtual clock."""

    def __init__(
        self, config: QueueConfig, outcomes: Sequence[Outcome] = (OK,), takes_seconds: float = 0.0
    ) -> None:
        self.clock = VirtualClock()
        self.target = ScriptedTarget(self.clock, outcomes, takes_seconds)
        self.notes = Notes()
        self.queue = Queue(1, NAME, config, from_file=False)
        self.dispatcher = Dispatcher(self.queue, self.clock, self.target, self.notes, self.notes)
        self._seq = 0

    def add(self, *, after_seconds: float = 0.0, message: Message | None = None) -> LiveTask:
        """Put a task into the queue, to be attempted `after_seconds` from now."""
        self._seq += 1
        if message is None:
            message = Task()
            message.app_engine_http_request.relative_uri = "/work"
        now_us = self.clock.now_us()
        eta_us = now_us + round(after_seconds * SECOND_US)
        task = LiveTask(
            self.queue, self._seq, f"task-{self._seq}", now_us, eta_us, message.SerializeToString()
        )
        self.queue.add(task)
        self.dispatcher.pump()
        return task

    def times_ms(self) -> list[float]:
        """When each attempt began, in milliseconds since the start."""
        return self.target.times_ms
