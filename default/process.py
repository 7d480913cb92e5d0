"""What the requests of one process share."""

from __future__ import annotations

import threading
from contextlib import suppress

from google.cloud import ndb

from counters.increment import Increment
from counters.limits import Admission
from pushtasks.database import Database
from pushtasks.delivery import Clock, TaskFailure, utc_now
from pushtasks.enqueue import Enqueued, Enqueuer
from pushtasks.entities import Counter
from pushtasks.overview import Dashboard
from pushtasks.queue_control import QueueControl
from pushtasks.queues import TaskQueues
from pushtasks.re_enqueue import Settling
from pushtasks.settings import Settings
from pushtasks.web import pages


class DefaultProcess:
    """The connections to Datastore and Cloud Tasks, and what is built on them. Nothing is sent at first."""

    def __init__(self, settings: Settings, clock: Clock = utc_now) -> None:
        self.settings = settings
        self.clock = clock
        self.database = Database(settings.project)
        self.queues = TaskQueues(settings)
        self.control = QueueControl(self.queues, settings)
        self.dashboard = Dashboard(self.database, self.control, clock)
        self.settling = Settling(self.database, self.queues, clock)
        self._enqueuer = Enqueuer(self.queues, self.database, clock)
        self._admission = Admission(self.database, settings.most_counters)

    def increment(self, increment: Increment, key: str | None) -> Enqueued:
        """Enqueue one increment. Raises TooManyCounters, KeyReused."""
        self._admission.admit((increment.counter,))
        return self._enqueuer.increment(increment, key)

    def increments(self, increments: list[Increment], key: str | None) -> list[Enqueued]:
        """Enqueue many, or none. Raises TooManyCounters, KeyReused."""
        self._admission.admit(increment.counter for increment in increments)
        return self._enqueuer.increments(increments, key)

    def warm_up(self) -> None:
        """Open both connections and load the pages. Needs a context. Raises QueueRefused, OutcomeUnknown."""
        templates = threading.Thread(target=pages.load_all)
        templates.start()
        try:
            self.queues.check()
            with suppress(TaskFailure):  # Datastore may come later; requests say so until then.
                self.database.get([ndb.Key(Counter, "warm-up")])
        finally:
            templates.join()
