"""The default service's web application: its addresses."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from default.guests import GuestsHandler
from guests.settings import GuestSettings
from guests.tasks import TASKS
from pushtasks.dashboard.routes import ADMIN_ROUTES
from pushtasks.service import Service
from pushtasks.web import pages
from pushtasks.web.service_application import service_application

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

TEMPLATES = Path(__file__).parent.parent / "templates"


def create_application(environ: Mapping[str, str]) -> WSGIApplication:
    """The application. Raises SettingsError."""
    pages.set_up(TEMPLATES, site_name="Guests")
    service = Service(GuestSettings.read(environ), TASKS)
    return service_application(service, [("/", GuestsHandler), *ADMIN_ROUTES])
