"""The worker service, as gunicorn starts it: `worker.main:app`."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from counters.settings import SettingsError
from worker.application import create_application

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

_GUNICORN_APP_LOAD_ERROR = 4
"""The exit status of a worker process at which gunicorn ends instead of starting another."""


def serve() -> WSGIApplication:
    """The application; ends the program with a sentence if a setting can't be used."""
    try:
        application, process = create_application(os.environ)
    except SettingsError as error:
        print(f"worker: {error}", file=sys.stderr, flush=True)
        sys.exit(_GUNICORN_APP_LOAD_ERROR)
    process.close_on_sigterm()
    return application


app = serve()
