"""The default service, as gunicorn starts it: `default.main:app`."""

import os

from counters.settings import CounterSettings
from default.application import create_application
from pushtasks.settings import check_or_exit

check_or_exit("default", CounterSettings, os.environ)
app = create_application(os.environ)
