"""The worker's web application: routes to handlers, and the process that they share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import webapp2

from counters import logs
from counters.settings import Settings
from worker import arriving
from worker.process import WorkerProcess
from worker.service import UnreadablePathHandler, WarmupHandler, answer_error
from worker.task_handler import TaskHandler
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
            (arriving.UNREADABLE_PATH, UnreadablePathHandler),
            ("/_ah/(?:warmup|start)", WarmupHandler),
        ],
        config={"process": process},
    )
    application.error_handlers = dict.fromkeys((403, 404, 405, 500), answer_error)
    return arriving.set_aside(application), process
