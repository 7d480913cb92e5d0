"""What the requests of one process of the default service share."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from counters.increment import Increment
from counters.limits import Admission, TooManyCounters
from counters.settings import CounterSettings
from counters.tasks import TASKS
from counters.update_counter import UpdateCounter
from default.panel import CountersPanel
from pushtasks.delivery import Clock, utc_now
from pushtasks.enqueue import Enqueued
from pushtasks.service import Service
from pushtasks.web.problems import Problem


class CounterService(Service):
    """See `Service`."""

    settings: CounterSettings

    def __init__(self, settings: CounterSettings, clock: Clock = utc_now) -> None:
        super().__init__(settings, TASKS, [CountersPanel()], clock)
        self._admission = Admission(self.database, settings.most_counters)

    def increment(self, increment: Increment, key: str | None) -> Enqueued:
        """Enqueue one increment. Raises Problem if there are too many counters, KeyReused."""
        self._admit((increment.counter,))
        return self.tasks.enqueue(UpdateCounter, increment.payload, key=key)

    def batch(self, increments: Sequence[Increment], key: str | None) -> Enqueued:
        """Enqueue many as one task. Raises the same, and Rejected if no queue takes it."""
        self._admit(increment.counter for increment in increments)
        payload = {"increments": [increment.payload for increment in increments]}
        return self.tasks.enqueue(UpdateCounter, payload, key=key)

    def _admit(self, counters: Iterable[str]) -> None:
        try:
            self._admission.admit(counters)
        except TooManyCounters as full:
            raise Problem(
                403, full.sentence, field=full.field, value=full.given, expected=full.expected
            ) from full
