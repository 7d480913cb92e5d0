"""What monitoring asks from outside, where `login: admin` would keep it out: /health and /metrics."""

from __future__ import annotations

import webapp2

from pushtasks.dashboard.metrics import CONTENT_TYPE, metrics
from pushtasks.trust import holds_a_key
from pushtasks.verdict import Level
from pushtasks.web.handler import ReadHandler
from pushtasks.web.problems import Problem


class HealthHandler(ReadHandler):
    """GET /health: the verdict's level and nothing else; 503 if it is `failing`, else 200.

    Anybody may ask, so it is answered from memory: the verdict is read at most once a minute.
    """

    def dispatch(self) -> None:
        webapp2.RequestHandler.dispatch(self)  # without a context: mostly nothing is read

    def get(self) -> None:
        level = self.service.overviews.level()
        self.text(f"{level}\n", 503 if level is Level.FAILING else 200)


class MetricsHandler(ReadHandler):
    """GET /metrics, for holders of a key."""

    def get(self) -> None:
        settings = self.service.settings
        if not holds_a_key(self.headers.get("authorization", ""), settings.metrics_keys):
            variable = settings.variable_of("metrics_keys")
            raise Problem(
                401,
                f"Only holders of a key ({variable}) may read this. "
                "Expected the header Authorization: Bearer KEY.",
                headers={"WWW-Authenticate": "Bearer"},
                field="Authorization",
                expected="Bearer KEY",
            )
        self.text(metrics(self.service.overviews.essentials()), content_type=CONTENT_TYPE)
