"""What the requests of one process of an enqueuing service share, its dashboard's included."""

from __future__ import annotations

from collections.abc import Sequence

from google.cloud import ndb

from pushtasks import versions
from pushtasks.database import Database
from pushtasks.delivery import Clock, utc_now
from pushtasks.enqueue import Tasks
from pushtasks.entities import TaskRecord
from pushtasks.errors import QueueRefused
from pushtasks.overview import Overviews, Panel
from pushtasks.queue_control import QueueControl
from pushtasks.queues import TaskQueues
from pushtasks.re_enqueue import KeptTaskActions
from pushtasks.retry_actions import RetryActions
from pushtasks.settings import Settings
from pushtasks.task import AnyTask, Kinds
from pushtasks.timeline import Timelines


class Service:
    """The connections to Datastore and Cloud Tasks, and what is built on them. Creating one sends nothing."""

    def __init__(
        self,
        settings: Settings,
        declared: Sequence[type[AnyTask]],
        panels: Sequence[Panel] = (),
        clock: Clock = utc_now,
    ) -> None:
        """Raises BadDeclaration."""
        self.settings = settings
        self.clock = clock
        self.kinds = Kinds(declared, settings)
        self.database = Database(settings.project, fast_path=settings.fast_path)
        self.queues = TaskQueues(settings)
        self.tasks = Tasks(self.kinds, self.queues, self.database, clock)
        self.control = QueueControl(self.queues, self.kinds.queues, settings)
        self.overviews = Overviews(self.database, self.control, panels, clock)
        self.timelines = Timelines(self.database, self.control, self.kinds, settings)
        self.retries = RetryActions(self.database, self.control, settings.record_life, clock)
        self.kept_tasks = KeptTaskActions(self.database, self.queues, self.kinds, clock)

    def warm_up(self) -> None:
        """Open both connections. Needs a context. Raises QueueRefused, OutcomeUnknown, TaskFailure."""
        self.queues.check(self.kinds)
        check_data(self.database)
        versions.tell(self.database, self.settings, self.clock())


def check_data(database: Database) -> None:
    """Ask Datastore something, and raise QueueRefused if another version of this package wrote its data.

    Before 1.0 statistics had another layout, and kept tasks another kind: they would be invisible.
    """
    old = ndb.Query(kind="RetryStatistics")
    if database.run_query(old, 1, keys_only=True):
        raise QueueRefused(
            "The data was written by a version before 1.0, whose kept tasks and statistics this one can't "
            "read. Start with an empty folder (make run DATA=another), or delete the kinds RetryStatistics "
            "and RejectedTask once you have dealt with them."
        )
    database.get([ndb.Key(TaskRecord, "warm-up")])
