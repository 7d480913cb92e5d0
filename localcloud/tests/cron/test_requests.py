"""What the application gets of a job, and what a person can ask of the side port."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest
from localcloud.tasks import TasksServer

from tests.tasks.harness import Handler, wait_until

APP = """\
runtime: python313
handlers:
- url: /private/.*
  script: auto
  login: admin
- url: /members/.*
  script: auto
  login: required
- url: /.*
  script: auto
"""
CRON = """\
cron:
- description: the nightly sum
  url: /private/sum?day=1
  schedule: every day 03:00
  timezone: europe/berlin
  retry_parameters:
    job_retry_limit: 1
    min_backoff_seconds: 0.01
- url: /members/mail
  schedule: every 24 hours
- url: /reports/all
  schedule: every monday 09:00
  target: elsewhere
"""
DISPATCH = """\
dispatch:
- url: "*/reports/*"
  service: worker
"""


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., TasksServer]]:
    """Start a server for `cron`, with these instances by service."""
    with ExitStack() as closing:

        def start(cron: str, **services: Handler) -> TasksServer:
            for name, text in (("app", APP), ("cron", cron), ("dispatch", DISPATCH)):
                (tmp_path / f"{name}.yaml").write_text(text)
            for handler in services.values():
                handler.start()
                closing.callback(handler.close)
            server = TasksServer(
                {},
                [f"{name}={handler.url}" for name, handler in services.items()],
                apps=[tmp_path / "app.yaml"],
                dispatch=tmp_path / "dispatch.yaml",
                cron=tmp_path / "cron.yaml",
                data=tmp_path / "tasks.sqlite3",
            )
            return closing.enter_context(server)

        yield start


def jobs(server: TasksServer) -> list[dict[str, Any]]:
    with urlopen(f"http://{server.http_address}/cron", timeout=10) as answer:
        found: list[dict[str, Any]] = json.load(answer)["jobs"]
        return found


def run(server: TasksServer, job: object) -> int:
    """Run a job to its end; the status of the call that starts it."""
    try:
        with urlopen(
            Request(f"http://{server.http_address}/cron/run?job={job}", method="POST"), timeout=10
        ) as answer:
            status: int = answer.status
    except HTTPError as error:
        return error.code
    wait_until(lambda: not any(one["is_running"] for one in jobs(server)))
    return status


def test_a_job_is_a_get_request_of_cron_itself_and_passes_login_admin(
    start: Callable[..., TasksServer],
) -> None:
    application = Handler(statuses=[500])
    server = start(CRON, default=application)

    assert run(server, 0) == 200

    failed, request = application.requests  # tried again as its retry_parameters say
    assert (failed.path, request.method, request.path) == (request.path, "GET", "/private/sum?day=1")
    assert request.headers["x-appengine-cron"] == "true"
    assert request.headers["x-appengine-user-ip"] == request.headers["x-forwarded-for"] == "0.1.0.2"
    assert "x-appengine-queuename" not in request.headers
    shown = jobs(server)[0]
    assert shown["timezone"] == "Europe/Berlin"
    assert shown["last_run"]["attempts"] == 2
    assert shown["last_run"]["succeeded"]
    assert shown["next_run"].endswith(":00:00Z")


def test_a_job_is_no_user_and_does_not_pass_login_required(start: Callable[..., TasksServer]) -> None:
    application = Handler()
    server = start(CRON, default=application)

    run(server, 1)

    assert application.requests == []
    assert jobs(server)[1]["last_run"]["status"] == 302


def test_dispatch_rules_beat_the_target_of_a_job(start: Callable[..., TasksServer]) -> None:
    default, worker = Handler(), Handler()
    server = start(CRON, default=default, worker=worker)

    assert jobs(server)[2]["service"] == "worker"
    run(server, 2)

    assert [request.path for request in worker.requests] == ["/reports/all"]
    assert default.requests == []


def test_a_target_that_does_not_run_falls_to_the_default_service(start: Callable[..., TasksServer]) -> None:
    server = start(CRON.replace("/reports/all", "/all"), default=Handler(), worker=Handler())

    assert jobs(server)[2]["service"] == "default"


def test_a_job_waits_until_its_service_accepts_connections(start: Callable[..., TasksServer]) -> None:
    application = Handler()
    server = start(CRON, default=application)
    port = int(application.url.rpartition(":")[2])
    application.close()

    with urlopen(
        Request(f"http://{server.http_address}/cron/run?job=0", method="POST"), timeout=10
    ) as answer:
        assert json.load(answer)["is_running"]
    (entry, *_) = server._running().cron.entries
    # It has been refused at least once when the service is there.
    wait_until(lambda: entry.run is None or entry.run.pending_since_us is not None)
    again = Handler()
    again.start(port)
    try:
        again.wait_for(1)
    finally:
        again.close()
    wait_until(lambda: jobs(server)[0]["last_run"] is not None)
    assert jobs(server)[0]["last_run"]["attempts"] == 1


def test_a_job_that_does_not_exist_is_not_found(start: Callable[..., TasksServer]) -> None:
    server = start(CRON, default=Handler())

    assert [run(server, job) for job in (3, -1, "x", "")] == [404] * 4
