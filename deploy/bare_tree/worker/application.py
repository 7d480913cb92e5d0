"""The worker service's web application: every kind of task at its address."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from guests.settings import GuestSettings
from guests.tasks import TASKS
from pushtasks.web.worker_application import worker_application
from pushtasks.worker import Worker

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication


def create_application(environ: Mapping[str, str]) -> tuple[WSGIApplication, Worker]:
    """The application, and what its requests share. Raises SettingsError."""
    return worker_application(GuestSettings.read(environ), TASKS, {})
