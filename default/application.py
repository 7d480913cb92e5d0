"""The default service's web application: its addresses."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from counters.settings import CounterSettings
from default import api, batch, public
from default.panel import PANEL_ROUTES
from default.service import CounterService
from pushtasks.dashboard.routes import ADMIN_ROUTES, MONITORING_ROUTES
from pushtasks.web import pages
from pushtasks.web.service_application import service_application

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

ROUTES = [
    # The busiest first: routes are tried in this order.
    ("/api/counters/([^/]+)/increments", api.IncrementHandler),
    ("/api/increments", batch.BatchHandler),
    ("/counters/([^/]+)/increments", public.FormHandler),
    ("/counters/increments", public.FormHandler),
    ("/", public.HomeHandler),
    ("/live", public.HomeHandler),
    ("/api/counters", api.CountersHandler),
    ("/api/counters/([^/]+)", api.CounterHandler),
    *PANEL_ROUTES,
    *ADMIN_ROUTES,
    *MONITORING_ROUTES,
]

TEMPLATES = Path(__file__).parent.parent / "templates"


def create_application(environ: Mapping[str, str]) -> WSGIApplication:
    """The application. Raises SettingsError."""
    pages.set_up(TEMPLATES, site_name="Counters")
    return service_application(CounterService(CounterSettings.read(environ)), ROUTES)
