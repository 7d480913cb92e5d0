"""The worker service, as gunicorn starts it: `worker.main:app`."""

import os

from pushtasks.settings import check_or_exit
from worker.application import create_application

check_or_exit("worker", os.environ)
app, _process = create_application(os.environ)
_process.close_on_sigterm()
