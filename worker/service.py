"""What the worker answers besides its tasks: App Engine's own requests, and what has no route."""

from __future__ import annotations

import logging

import webapp2
from google.cloud import ndb
from webob.exc import HTTPException

from counters.increments import InvalidPayload
from counters.models import Counter
from counters.tasks import TaskFailure, TaskInfo, in_full
from counters.trust import SECURITY_HEADERS
from worker.process import WorkerProcess
from worker.task_handler import TaskHandler

log = logging.getLogger(__name__)

_WORDS = {
    404: "There is nothing at this address. Tasks go to /update-counter.",
    405: "This address does not answer this method. Tasks are sent by POST.",
    500: "Failed, for a reason that is in the log.",
}


class WarmupHandler(webapp2.RequestHandler):
    """Opens the connection to Datastore, so that the first task doesn't wait for it."""

    def get(self) -> None:
        process: WorkerProcess = self.app.config["process"]
        try:
            with process.database.context():
                process.database.get([ndb.Key(Counter, "warm-up")])
        except TaskFailure as failure:
            # Not fatal: until Datastore is there, tasks are answered 503.
            log.warning("Warm-up: %s", in_full(failure))
        self.response.headers["Content-Type"] = "text/plain; charset=utf-8"
        self.response.text = "warm\n"


class UnreadablePathHandler(TaskHandler):
    """Keeps tasks whose path is not UTF-8 as rejected: no handler can ever be found for them."""

    name = "unreadable-path"

    @classmethod
    def parse(cls, task: TaskInfo) -> None:
        raise InvalidPayload("path", task.path, "percent-encoded UTF-8")


def answer_error(request: webapp2.Request, response: webapp2.Response, error: Exception) -> None:
    """One sentence for what no handler answered."""
    status = error.code if isinstance(error, HTTPException) else 500
    if status == 500:
        log.error("Failed: %s", request.path, exc_info=error)
    else:
        response.headers.update(getattr(error, "headers", {}))
    response.status_int = status
    response.headers["Content-Type"] = "text/plain; charset=utf-8"
    response.headers.update(SECURITY_HEADERS)
    response.text = f"{_WORDS.get(status, error)}\n"
