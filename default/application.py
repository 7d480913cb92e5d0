"""The default service's web application: routes to handlers, and the process that they share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import webapp2

from default import api, lifecycle, public
from default.process import DefaultProcess
from pushtasks import logs
from pushtasks.dashboard.routes import ADMIN_ROUTES
from pushtasks.settings import Settings
from pushtasks.web import page_requests
from pushtasks.web.handler import answer_problem

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

ROUTES = [
    # The busiest first: routes are tried in this order.
    ("/api/counters/([^/]+)/increments", api.IncrementHandler),
    ("/api/increments", api.BatchHandler),
    ("/counters/([^/]+)/increments", public.FormHandler),
    ("/counters/increments", public.FormHandler),
    ("/", public.HomeHandler),
    ("/live", public.HomeHandler),
    ("/api/counters", api.CountersHandler),
    ("/api/counters/([^/]+)", api.CounterHandler),
    ("/api/tasks/([^/]+)", api.TaskHandler),
    *ADMIN_ROUTES,
    ("/_ah/(?:warmup|start)", lifecycle.WarmupHandler),
]


def create_application(environ: Mapping[str, str]) -> WSGIApplication:
    """The application. Raises SettingsError."""
    settings = Settings.read(environ)
    logs.set_up(settings)
    process = DefaultProcess(settings)
    application = webapp2.WSGIApplication(ROUTES, config={"process": process})
    application.error_handlers = dict.fromkeys((404, 405, 500, 501), answer_problem)
    return page_requests.guard(application, settings.most_body_bytes)
