"""How long the local Cloud Tasks takes to start with many pending tasks, and how much memory it then uses.

`python bench/tasks_restart.py --tasks 100000` creates them, kills the server, starts it again and prints
both.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import grpc
import psutil
from google.cloud.tasks_v2.types import cloudtasks

ROOT = Path(__file__).parents[1]
QUEUE = "projects/local-project/locations/us-central1/queues/held"
BATCH = "/google.cloud.tasks.v2.CloudTasks/BatchCreateTasks"
BatchCreateTasksRequest = cloudtasks.BatchCreateTasksRequest.pb()


def start(folder: Path) -> tuple[subprocess.Popen[str], str, float]:
    """The server, its address, and how many seconds it took to be ready."""
    command = [sys.executable, "-m", "localcloud.tasks", "--queues", str(folder / "queue.yaml")]
    command += ["--port", "0", "--data", str(folder / "tasks.sqlite3")]
    began = time.monotonic()
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    address = process.stdout.readline().split()[3]
    return process, address, time.monotonic() - began


def batch(first: int) -> bytes:
    """A hundred tasks as the counter service makes them."""
    message = BatchCreateTasksRequest(parent=QUEUE)
    for number in range(first, first + 100):
        task = message.requests.add(parent=QUEUE).task
        task.name = f"{QUEUE}/tasks/{number:040x}"
        request = task.app_engine_http_request
        request.relative_uri = "/update-counter"
        request.headers["Content-Type"] = "application/json"
        request.body = b'{"counter": "visits", "amount": 1, "enqueued_at": 1795464576.867464}'
    raw: bytes = message.SerializeToString()
    return raw


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tasks", type=int, default=100_000)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "queue.yaml").write_text("queue:\n- name: held\n  rate: 0\n")
        process, address, empty_seconds = start(folder)
        with grpc.insecure_channel(address) as channel:
            create = channel.unary_unary(BATCH, bytes, bytes)
            for first in range(0, options.tasks, 100):
                create(batch(first))
        process.kill()
        process.wait()
        process, _, seconds = start(folder)
        memory = psutil.Process(process.pid).memory_info().rss / 1024 / 1024
        process.terminate()
        process.wait()
    print(f"start with nothing: {empty_seconds:.2f} s")
    print(f"start with {options.tasks:,} pending tasks: {seconds:.2f} s, {memory:.0f} MB")


if __name__ == "__main__":
    main()
