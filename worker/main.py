"""The worker service, as gunicorn starts it: `worker.main:app`."""

import os

from counters.settings import CounterSettings
from pushtasks.settings import check_or_exit
from worker.application import create_application

check_or_exit("worker", CounterSettings, os.environ)
app, _worker = create_application(os.environ)
_worker.close_on_sigterm()
