"""App Engine's own requests: make this process ready before a visitor or a task waits for it."""

from __future__ import annotations

import logging
import threading

import webapp2

from pushtasks import versions
from pushtasks.errors import OutcomeUnknown, QueueRefused, TaskFailure, in_full
from pushtasks.service import Service, check_data
from pushtasks.web import pages
from pushtasks.web.handler import ReadHandler
from pushtasks.worker import Worker

log = logging.getLogger(__name__)

WARM_UP_PATH = "/_ah/(?:warmup|start)"


class WarmUpHandler(ReadHandler):
    """GET /_ah/warmup and /_ah/start. If something must be fixed first: a 500 whose first line says what."""

    def get(self) -> None:
        templates = threading.Thread(target=pages.load_all)
        templates.start()
        service: Service = self.service
        try:
            service.warm_up()
        except QueueRefused as refused:
            log.error("Warm-up: %s", refused)
            self.text(f"{refused}\n", 500)
        except (OutcomeUnknown, TaskFailure) as away:
            # Not fatal: until both answer, requests are answered 503.
            log.warning("Warm-up: %s", in_full(away))
            self.text("warm\n")
        else:
            self.text("warm\n")
        finally:
            templates.join()


class WorkerWarmUpHandler(webapp2.RequestHandler):
    """The same for the worker, which needs Datastore alone before its first task."""

    def get(self) -> None:
        worker: Worker = self.app.config["worker"]
        text = "warm"
        try:
            with worker.database.context():
                check_data(worker.database)
                versions.tell(worker.database, worker.settings, worker.clock())
        except QueueRefused as refused:
            log.error("Warm-up: %s", refused)
            self.response.status_int = 500
            text = str(refused)
        except TaskFailure as away:
            log.warning("Warm-up: %s", in_full(away))
        self.response.headers["Content-Type"] = "text/plain; charset=utf-8"
        self.response.text = f"{text}\n"
