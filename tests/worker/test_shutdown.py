"""The worker under gunicorn, as worker.yaml starts it: what SIGTERM does to tasks under way."""

from __future__ import annotations

import os
import shlex
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from google.appengine.api import appinfo
from localcloud.testing import FaultyProxy
from localcloud.testing.waiting import wait_until

from counters import values
from pushtasks import statistics
from pushtasks.database import Database
from pushtasks.delivery import utc_now
from tests.conftest import PROJECT

ROOT = Path(__file__).parent.parent.parent
COMMIT_DELAY_S = 1.0

Start = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


@pytest.fixture
def proxy(datastore_address: str) -> Iterator[FaultyProxy]:
    with FaultyProxy(datastore=datastore_address) as proxy:
        yield proxy


@pytest.fixture
def gunicorn(port: int, proxy: FaultyProxy) -> Iterator[Start]:
    """Starts the worker by worker.yaml's own entrypoint."""
    entrypoint = appinfo.LoadSingleAppInfo((ROOT / "worker.yaml").read_text()).entrypoint
    started: list[subprocess.Popen[str]] = []

    def start(**environ: str) -> subprocess.Popen[str]:
        command = entrypoint.removeprefix("exec ").replace("$PORT", str(port)).replace(":", "127.0.0.1:", 1)
        process = subprocess.Popen(
            [sys.executable, "-m", *shlex.split(command)],
            cwd=ROOT,
            env={
                **os.environ,
                "GOOGLE_CLOUD_PROJECT": PROJECT,
                "GAE_ENV": "standard",
                "DATASTORE_EMULATOR_HOST": proxy.datastore_address,
                **environ,
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def deliver(port: int, task: str, counter: str) -> int:
    """The status of a delivery; 0 if the connection was refused or cut."""
    request: Any = urllib.request.Request(
        f"http://127.0.0.1:{port}/update-counter?counter={counter}&amount=1",
        data=b"",
        headers={"X-AppEngine-QueueName": "q", "X-AppEngine-TaskName": task},
    )
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code
    except OSError:
        return 0


def test_on_sigterm_what_was_taken_in_is_finished(
    gunicorn: Start, proxy: FaultyProxy, port: int, database: Database, name: str
) -> None:
    process = gunicorn()
    wait_until(lambda: deliver(port, f"{name}-first", name) == 200, "the worker to answer", 20)
    proxy.set_faults(datastore=[{"method": "Commit", "fault": "delay", "delay_seconds": COMMIT_DELAY_S}])

    with ThreadPoolExecutor(20) as pool:
        answers = [pool.submit(deliver, port, f"{name}-{number}", name) for number in range(20)]
        wait_until(lambda: proxy.report()["datastore"]["rules"][0]["struck"] > 0, "a commit under way", 10)
        process.send_signal(signal.SIGTERM)
        statuses = [answer.result(timeout=30) for answer in answers]
    output, _ = process.communicate(timeout=30)

    assert "Worker exiting" in output
    assert "Logging error" not in output
    with database.context():
        value = values.counter(database, name)
    assert set(statuses) <= {200, 500, 0}
    assert statuses.count(200) > 0
    assert value is not None
    assert value.value == 1 + statuses.count(200), "answered 200 if and only if counted"
    assert process.returncode == 0


def test_on_sigterm_failed_attempts_that_only_memory_knows_are_written(
    gunicorn: Start, proxy: FaultyProxy, port: int, database: Database, name: str
) -> None:
    def failures() -> int:
        with database.context():
            found = statistics.read(database, utc_now())
        return sum(each.total.failures for each in found if each.handler == "update-counter")

    process = gunicorn()
    wait_until(lambda: deliver(port, f"{name}-first", name) == 200, "the worker to answer", 20)
    before = failures()
    proxy.set_faults(datastore=[{"method": "Commit", "fault": "request_lost"}])
    statuses = [deliver(port, f"{name}-{number}", name) for number in range(3)]
    proxy.clear_faults()
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=30)

    assert set(statuses) == {503}
    assert failures() == before + 3


def test_a_setting_that_cannot_be_used_stops_the_program_with_a_sentence(gunicorn: Start) -> None:
    process = gunicorn(COUNTER_GROUP_SIZE="many", COUNTER_SLOTS="0")

    output, _ = process.communicate(timeout=20)

    assert process.returncode != 0
    assert (
        output.count("worker: COUNTER_SLOTS is '0'. Expected a whole number from 1 to 128 (default 8). ") == 1
    )
    assert "COUNTER_GROUP_SIZE is 'many'. Expected a whole number from 1 to 200 (default 64)." in output
    assert "Traceback" not in output
