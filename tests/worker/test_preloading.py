"""What is imported before gunicorn forks leaves nothing behind that a fork would break."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

PROGRAM = """
import contextlib, json, os, sys
import worker.preloading

targets = []
for name in os.listdir("/proc/self/fd"):
    with contextlib.suppress(OSError):
        targets.append(os.readlink(f"/proc/self/fd/{name}"))
threads = len(os.listdir("/proc/self/task"))
print(json.dumps({"modules": list(sys.modules), "targets": targets, "threads": threads}))
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="asks /proc")
def test_one_thread_runs_no_connection_is_open_and_the_application_is_not_there_yet() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
    found = json.loads(done.stdout)
    assert {"google.cloud.ndb", "grpc", "webapp2"} <= set(found["modules"])
    ours = {name for name in found["modules"] if name.split(".")[0] in ("counters", "pushtasks", "worker")}
    settings = {"counters", "counters.settings", "pushtasks", "pushtasks.settings", "pushtasks.errors"}
    assert ours == settings | {"worker", "worker.preloading"}
    assert not [target for target in found["targets"] if target.startswith("socket:")]
    assert found["threads"] == 1
