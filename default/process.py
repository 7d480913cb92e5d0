"""What the requests of one process share."""

from __future__ import annotations

import threading
from contextlib import suppress

from google.cloud import ndb

from counters.admission import Admission
from counters.dashboard import Dashboard
from counters.database import Database
from counters.enqueueing import Enqueued, Enqueuer
from counters.increments import Increment
from counters.models import Counter
from counters.queue_control import QueueControl
from counters.queues import TaskQueues
from counters.settings import Settings
from counters.settling import Settling
from counters.tasks import Clock, TaskFailure, utc_now
from default import pages


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
