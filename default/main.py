"""The default service, as gunicorn starts it: `default.main:app`."""

import os

from counters.settings import check_or_exit
from default.application import create_application

check_or_exit("default", os.environ)
app = create_application(os.environ)
