"""What each of the worker's processes needs, imported once before gunicorn (--config) forks them.

An instance so starts with one import of the libraries instead of two, and its processes share their memory.
The application itself is imported by each process: it opens connections, which must not be forked.
"""

import gc

import google.cloud.ndb  # noqa: F401
import webapp2  # noqa: F401

# A collection writes into every object that it looks at, which would give each process a copy of its own.
gc.freeze()
