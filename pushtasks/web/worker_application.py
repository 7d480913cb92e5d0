"""A worker service as a web application: every kind of task at its address, nothing else."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import webapp2
from webob.exc import HTTPException

from pushtasks import logs
from pushtasks.settings import Settings
from pushtasks.task import AnyTask
from pushtasks.trust import SECURITY_HEADERS
from pushtasks.web import task_requests
from pushtasks.web.task_handler import TaskHandler, task_routes
from pushtasks.web.unreadable_path import UnreadablePath, UnreadablePathHandler
from pushtasks.web.warm_up import WARM_UP_PATH, WorkerWarmUpHandler
from pushtasks.worker import Worker

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

log = logging.getLogger(__name__)

_WORDS = {
    404: "There is nothing at this address. Each kind of task goes to its own, /NAME.",
    405: "This address does not answer this method. Tasks are sent by POST.",
    501: "This method is not known here. Tasks are sent by POST.",
    500: "Failed, for a reason that is in the log.",
}


def worker_application(
    settings: Settings,
    declared: Sequence[type[AnyTask]],
    own_handlers: Mapping[type[AnyTask], type[TaskHandler]],
) -> tuple[WSGIApplication, Worker]:
    """The application, and what its requests share. Raises BadDeclaration.

    `own_handlers` are for kinds that answer more than the queue, such as a form to run them by hand.
    """
    logs.set_up(settings)
    worker = Worker(settings, declared, without_queue=(UnreadablePath,))
    application = webapp2.WSGIApplication(
        [
            *task_routes(worker.kinds, {kind.name: handler for kind, handler in own_handlers.items()}),
            (task_requests.UNREADABLE_PATH, UnreadablePathHandler),
            (WARM_UP_PATH, WorkerWarmUpHandler),
        ],
        config={"worker": worker},
    )
    application.error_handlers = dict.fromkeys((403, 404, 405, 500, 501), _answer_error)
    return task_requests.set_aside(application), worker


def _answer_error(request: webapp2.Request, response: webapp2.Response, error: Exception) -> None:
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
