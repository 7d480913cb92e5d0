"""The worker service's web application: every kind of task at its address."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from counters.settings import CounterSettings
from counters.tasks import TASKS
from counters.update_counter import UpdateCounter
from pushtasks.task import AnyTask
from pushtasks.web import pages
from pushtasks.web.task_handler import TaskHandler
from pushtasks.web.worker_application import worker_application
from pushtasks.worker import Worker
from worker.update_counter import UpdateCounterHandler

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

OWN_HANDLERS: dict[type[AnyTask], type[TaskHandler]] = {UpdateCounter: UpdateCounterHandler}
"""Handlers of kinds that answer more than the queue. Other kinds need none."""

TEMPLATES = Path(__file__).parent.parent / "templates"


def create_application(environ: Mapping[str, str]) -> tuple[WSGIApplication, Worker]:
    """The application, and what its requests share. Raises SettingsError."""
    pages.set_up(TEMPLATES, site_name="Counters")
    return worker_application(CounterSettings.read(environ), TASKS, OWN_HANDLERS)
