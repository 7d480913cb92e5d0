"""The default service, as gunicorn starts it: `default.main:app`."""

import os

from default.application import create_application
from pushtasks.settings import check_or_exit

check_or_exit("default", os.environ)
app = create_application(os.environ)
