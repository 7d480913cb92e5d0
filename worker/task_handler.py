"""TaskHandler: what every handler of a task queue needs, so that a new one is only its own work.

A subclass names itself, parses a payload and says what to write. From here it gets the guard of its URL,
each task applied exactly once, answers that make the queue do the right thing, rejected tasks kept for a
person, retry statistics, and its rows on the dashboard.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Sequence
from datetime import datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

import webapp2

from counters.applying import Work
from counters.logs import about
from counters.tasks import DatastoreUnavailable, TaskFailure, TaskInfo, in_full
from counters.trust import SECURITY_HEADERS, Caller, caller_of
from worker import arriving
from worker.process import WorkerProcess

if TYPE_CHECKING:
    from google.cloud import ndb

log = logging.getLogger(__name__)


class TaskHandler(webapp2.RequestHandler):
    """Answers POST with a task's outcome: 2xx once it is settled, 503 or 500 to have it delivered again."""

    name: ClassVar[str]
    """The handler's name: its tasks go to /NAME, and it is in the keys of its records and statistics.

    Never change it once deployed.
    """

    most_grouped: ClassVar[int] = 1
    """The most tasks that one transaction may apply; see `work`."""

    @classmethod
    def parse(cls, task: TaskInfo) -> Any:
        """The payload, in plain values: there is no Datastore context yet.

        Raises InvalidPayload if the task can never be applied: it is kept as rejected.
        """
        return task.body

    @classmethod
    def reads(cls, payload: Any) -> Iterable[ndb.Key]:
        """What `apply` will get, to be read together with the task's record: one call instead of several."""
        return ()

    @classmethod
    def apply(cls, payload: Any, task: TaskInfo) -> Iterable[ndb.Model]:
        """Inside the transaction: get what the task changes, and return the entities to write.

        Runs again if the transaction has to; so it does nothing that can't be taken back.

        Raises InvalidPayload, before it puts anything, if what it finds forbids the task for good (a seat is
        sold): it is kept as rejected. Whatever else it raises is answered 500: the queue delivers again.
        """
        raise NotImplementedError(f"{cls.__name__} does not say what a task of its changes.")

    @classmethod
    def work(cls, process: WorkerProcess) -> Work[Any]:
        """What the tasks do. To apply many in one transaction, return Work of your own."""
        if cls.most_grouped > 1:
            # Two tasks that both find nothing would each write it anew: the second over the first.
            raise TypeError(
                f"{cls.__name__}.most_grouped is {cls.most_grouped}, so it needs Work of its own."
            )
        return _OneByOne(cls)

    @property
    def process(self) -> WorkerProcess:
        return self.app.config["process"]  # type: ignore[no-any-return]

    @cached_property
    def headers(self) -> dict[str, str]:
        """The request's headers, names in lower case."""
        return arriving.headers_of(self.request.environ)

    @cached_property
    def caller(self) -> Caller:
        return caller_of(self.headers, self.process.settings)

    def post(self) -> None:
        """A delivery by the queue."""
        if self.caller.is_task:
            self.run(arriving.task_of(self.request.environ, self.headers))
        else:
            self.answer(403, "Only the task queue may post here.")

    def run(self, task: TaskInfo) -> None:
        """Apply the task, and answer only once the outcome is recorded."""
        started = time.monotonic()
        facts = {"handler": self.name, "task": task.name, "queue": task.queue, "attempt": task.attempt}
        try:
            outcome = self.process.deliver(self.name, task)
        except TaskFailure as failure:
            # 503 slows the whole queue down, any other failure this one task ("Creating Task Handlers").
            status = 503 if isinstance(failure, DatastoreUnavailable) else 500
            log.warning("Not applied, to be delivered again: %s", in_full(failure), extra=about(**facts))
            self.answer(status, f"Not applied this time. {failure}")
        except Exception:
            log.exception("Failed, to be delivered again", extra=about(**facts))
            self.answer(500, "Not applied this time, for a reason that is in the log.")
        else:
            took_ms = round((time.monotonic() - started) * 1000, 1)
            log.info("Task %s", outcome, extra=about(**facts, ms=took_ms))
            self.answer(200, outcome)

    def answer(self, status: int, text: str) -> None:
        self.response.status_int = status
        self.response.headers["Content-Type"] = "text/plain; charset=utf-8"
        self.response.headers.update(SECURITY_HEADERS)
        self.response.body = f"{text}\n".encode()


class _OneByOne:
    """The work of a handler whose tasks have a transaction each."""

    def __init__(self, handler: type[TaskHandler]) -> None:
        self.name = handler.name
        self.parse = handler.parse
        self._reads = handler.reads
        self._apply = handler.apply

    def prepare(self, payloads: Sequence[Any]) -> None:
        """Nothing."""

    def reads(self, payloads: Sequence[Any]) -> Iterable[ndb.Key]:
        return [key for payload in payloads for key in self._reads(payload)]

    def apply(self, payloads: Sequence[Any], tasks: Sequence[TaskInfo], now: datetime) -> list[ndb.Model]:  # noqa: ARG002
        return [entity for pair in zip(payloads, tasks, strict=True) for entity in self._apply(*pair)]

    def noted(self, payload: Any) -> dict[str, Any]:  # noqa: ARG002 - nothing is known of it
        return {}
