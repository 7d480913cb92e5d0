"""What gunicorn does (--config) before it forks the worker's processes.

What each of them needs is imported once: an instance so starts with one import of the libraries instead of
two, and its processes share their memory. The application itself is imported by each process: it opens
connections, which must not be forked.
"""

import gc
import os

import google.cloud.ndb  # noqa: F401
import webapp2  # noqa: F401

from counters.settings import CounterSettings
from pushtasks.settings import check_or_exit

# A collection writes into every object that it looks at, which would give each process a copy of its own.
gc.freeze()


def on_starting(server: object) -> None:  # noqa: ARG001 - gunicorn's hook
    """Say once what is wrong with a setting: two processes that end together make gunicorn 27 raise."""
    check_or_exit("worker", CounterSettings, os.environ)
