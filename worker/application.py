"""The worker's web application: routes to handlers, and the process that they share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import webapp2

from pushtasks import logs
from pushtasks.settings import Settings
from pushtasks.web import task_requests
from pushtasks.web.task_handler import TaskHandler
from pushtasks.worker_process import WorkerProcess
from worker.service import UnreadablePathHandler, WarmupHandler, answer_error
from worker.update_counter import UpdateCounterHandler

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

TASK_HANDLERS: tuple[type[TaskHandler], ...] = (UpdateCounterHandler,)
"""Each answers at /NAME. A new one: a file, its class here, a route in worker.yaml, a queue in queue.yaml."""


def create_application(environ: Mapping[str, str]) -> tuple[WSGIApplication, WorkerProcess]:
    """The application, and the process that its requests share. Raises SettingsError."""
    settings = Settings.read(environ)
    logs.set_up(settings)
    process = WorkerProcess(settings, [*TASK_HANDLERS, UnreadablePathHandler])
    application = webapp2.WSGIApplication(
        [
            *((f"/{handler.name}", handler) for handler in TASK_HANDLERS),
            (task_requests.UNREADABLE_PATH, UnreadablePathHandler),
            ("/_ah/(?:warmup|start)", WarmupHandler),
        ],
        config={"process": process},
    )
    application.error_handlers = dict.fromkeys((403, 404, 405, 500), answer_error)
    return task_requests.set_aside(application), process
