"""App Engine's own requests: make this process ready before a visitor waits for it."""

from __future__ import annotations

import logging

from counters.queues import OutcomeUnknown, QueueRefused
from counters.tasks import in_full
from default.handler import ReadHandler

log = logging.getLogger(__name__)


class WarmupHandler(ReadHandler):
    """GET /_ah/warmup and /_ah/start. A queue that is missing is said on the first line, with a 500."""

    def get(self) -> None:
        self.text(*self._outcome())

    def _outcome(self) -> tuple[str, int]:
        try:
            self.process.warm_up()
        except QueueRefused as refused:
            log.error("Warm-up: %s", refused)
            return f"{refused}\n", 500
        except OutcomeUnknown as away:
            # Not fatal: until the queue answers, requests are answered 503.
            log.warning("Warm-up: %s", in_full(away))
        return "warm\n", 200
