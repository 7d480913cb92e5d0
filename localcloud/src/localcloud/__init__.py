"""A local App Engine, Cloud Tasks and Datastore: the real wire protocols, from Python packages alone.

Knows nothing of the application it runs: like App Engine, it reads app.yaml, queue.yaml and the others.
"""

import sys

if sys.platform == "win32":
    raise ImportError("localcloud runs on Linux and macOS, for it needs process groups; on Windows use WSL 2")
