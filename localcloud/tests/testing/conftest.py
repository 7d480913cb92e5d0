"""An application small enough to start often."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

# A conftest below the top can't name plugins; a project does that in its first one.
from localcloud.testing.plugin import start_local_cloud

__all__ = ["start_local_cloud"]

PROGRAM = """\
import os, socketserver, wsgiref.simple_server

class Server(socketserver.ThreadingMixIn, wsgiref.simple_server.WSGIServer):
    daemon_threads = True

def app(environ, start_response):
    task = environ.get("HTTP_X_APPENGINE_TASKNAME")
    if task:
        print("task", task, "attempt", environ["HTTP_X_APPENGINE_TASKRETRYCOUNT"], flush=True)
    start_response("200 OK", [("Content-Type", "text/plain")])
    user = environ.get("HTTP_X_APPENGINE_USER_EMAIL", "nobody")
    return [f"{os.environ['GAE_SERVICE']} {os.environ.get('EXTRA', '')} {user}".encode()]

wsgiref.simple_server.make_server("127.0.0.1", int(os.environ["PORT"]), app, Server).serve_forever()
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """app.yaml, worker.yaml and queue.yaml, and their program."""
    root = tmp_path / "application"
    root.mkdir()
    (root / "main.py").write_text(PROGRAM)
    for name, file in (("default", "app.yaml"), ("worker", "worker.yaml")):
        (root / file).write_text(
            f"runtime: python313\nservice: {name}\nentrypoint: {sys.executable} main.py\n"
            "handlers:\n- url: /work\n  script: auto\n  login: admin\n- url: /.*\n  script: auto\n"
        )
    (root / "queue.yaml").write_text(
        "queue:\n- name: jobs\n  rate: 100/s\n  target: worker\n"
        "  retry_parameters:\n    min_backoff_seconds: 0.05\n    max_backoff_seconds: 0.2\n"
    )
    return root
