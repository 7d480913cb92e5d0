"""The default service, as gunicorn starts it: `default.main:app`."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from counters.settings import SettingsError
from default.application import create_application

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

_GUNICORN_APP_LOAD_ERROR = 4
"""The exit status of a worker process at which gunicorn ends instead of starting another."""


def serve() -> WSGIApplication:
    """The application; ends the program with a sentence if a setting can't be used."""
    try:
        return create_application(os.environ)
    except SettingsError as error:
        print(f"default: {error}", file=sys.stderr, flush=True)
        sys.exit(_GUNICORN_APP_LOAD_ERROR)


app = serve()
