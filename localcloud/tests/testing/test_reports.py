"""A test that fails is reported with what the services printed, and with the tasks that were given up."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = """\
import os, wsgiref.simple_server

def app(environ, start_response):
    print("asked for", environ["PATH_INFO"], flush=True)
    start_response("500 Broken" if environ["PATH_INFO"] == "/work" else "200 OK", [])
    return [b""]

wsgiref.simple_server.make_server("127.0.0.1", int(os.environ["PORT"]), app).serve_forever()
"""
TEST = """\
from pathlib import Path
from urllib.request import urlopen

import grpc
from google.cloud import tasks_v2
from google.cloud.tasks_v2.services.cloud_tasks.transports import CloudTasksGrpcTransport

ROOT = Path(__file__).parent


def enqueue(cloud):
    with grpc.insecure_channel(cloud.tasks_address) as channel:
        client = tasks_v2.CloudTasksClient(transport=CloudTasksGrpcTransport(channel=channel))
        queue = client.queue_path(cloud.state["project"], cloud.state["region"], "jobs")
        request = tasks_v2.AppEngineHttpRequest(relative_uri="/work")
        task = tasks_v2.Task(name=f"{queue}/tasks/t1", app_engine_http_request=request)
        client.create_task(parent=queue, task=task)


def test_a_task_that_is_given_up_is_told(start_local_cloud):
    cloud = start_local_cloud(["app.yaml", "queue.yaml"], root=ROOT)
    assert cloud.wait_idle() == []
    enqueue(cloud)
    lost = cloud.wait_idle()
    assert lost == ["jobs/t1 attempt 1 failed: status 500"]
    assert cloud.wait_idle() == []
    urlopen(cloud.url + "/last-request").close()
    raise ValueError("on purpose")


def test_one_that_passes_shows_nothing(start_local_cloud):
    urlopen(start_local_cloud(["app.yaml"], root=ROOT).url + "/unseen").close()
"""


@pytest.mark.timeout(180)
def test_a_failing_test_shows_the_services_lines_and_what_was_given_up(tmp_path: Path) -> None:
    files = {
        "main.py": PROGRAM,
        "app.yaml": f"runtime: python313\nentrypoint: {sys.executable} main.py\n",
        "queue.yaml": "queue:\n- name: jobs\n  rate: 5/s\n  retry_parameters: {task_retry_limit: 0}\n",
        "test_app.py": TEST,
    }
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    plugin = ["-p", "no:cacheprovider"]  # ours is installed, and so loaded by itself
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "--rootdir", str(tmp_path), *plugin, "test_app.py"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2] / "src")},
        capture_output=True,
        text=True,
        timeout=150,
    )
    assert "ValueError: on purpose" in done.stdout, done.stdout + done.stderr
    assert "1 failed, 1 passed" in done.stdout
    assert "asked for /last-request" in done.stdout
    assert "GIVEN UP: jobs/t1 attempt 1 failed: status 500" in done.stdout
    assert "/unseen" not in done.stdout.replace(TEST, "")
