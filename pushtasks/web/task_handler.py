"""TaskHandler: answers a delivery with its outcome, so that the queue does the right thing next."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from functools import cached_property

import webapp2

from pushtasks.delivery import Delivery, handler_of
from pushtasks.errors import DatastoreUnavailable, PushTasksError, in_full
from pushtasks.logs import about
from pushtasks.task import Kinds
from pushtasks.trust import SECURITY_HEADERS, Caller, caller_of
from pushtasks.web import task_requests
from pushtasks.worker import Worker

log = logging.getLogger(__name__)


class TaskHandler(webapp2.RequestHandler):
    """POST: a delivery by the queue, answered once its outcome is recorded; 503 or 500 to get it again.

    One class serves every kind of task: the path says which. A kind that answers more than its deliveries,
    such as a form to run it by hand, has a subclass (`task_routes`).
    """

    @property
    def worker(self) -> Worker:
        return self.app.config["worker"]  # type: ignore[no-any-return]

    @property
    def task(self) -> str:
        """The kind of task that this request's path names."""
        return handler_of(self.request.environ[task_requests.PATH])

    @cached_property
    def headers(self) -> dict[str, str]:
        """The request's headers, names in lower case."""
        return task_requests.headers_of(self.request.environ)

    @cached_property
    def caller(self) -> Caller:
        return caller_of(self.headers, self.worker.settings)

    def post(self) -> None:
        if self.caller.is_task:
            self.run(task_requests.delivery_of(self.request.environ, self.headers))
        else:
            self.answer(403, "Only the task queue may post here.")

    def run(self, delivery: Delivery) -> None:
        """Apply the task, and answer only once the outcome is recorded."""
        started = time.monotonic()
        facts = {
            "handler": self.task,
            "task": delivery.name,
            "queue": delivery.queue,
            "attempt": delivery.attempt,
        }
        try:
            outcome = self.worker.deliver(self.task, delivery)
        except PushTasksError as failure:
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


Handlers = Mapping[str, type[TaskHandler]]


def task_routes(kinds: Kinds, own: Handlers) -> list[tuple[str, type[TaskHandler]]]:
    """The addresses of all kinds of task: each at its own handler, if it has one."""
    return [(kind.path, own.get(kind.name, TaskHandler)) for kind in kinds]
