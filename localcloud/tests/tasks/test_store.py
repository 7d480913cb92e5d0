"""A disk that refuses to write refuses new tasks, and harms nothing else."""

from __future__ import annotations

import gc
import sqlite3
import threading
from pathlib import Path

import pytest
from google.api_core import exceptions
from localcloud.tasks import TasksServer, store
from localcloud.tasks.store import Store

from tests.tasks.conftest import StartServer
from tests.tasks.harness import Client, Handler, client_of, wait_until
from tests.tasks.test_side_port import ask

WORK = {"app_engine_http_request": {"relative_uri": "/work"}}


@pytest.fixture
def full_disk(monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """While it is set, nothing can be written."""
    is_full = threading.Event()
    write = Store._write

    def write_or_fail(self: Store) -> None:
        if is_full.is_set():
            raise sqlite3.OperationalError("database or disk is full")
        write(self)

    monkeypatch.setattr(Store, "_write", write_or_fail)
    monkeypatch.setattr(store, "RETRY_SECONDS", 0.05)
    return is_full


def test_a_task_that_cannot_be_written_is_refused_and_its_name_stays_free(
    client: Client,
    server: TasksServer,
    queue: str,
    handler: Handler,
    full_disk: threading.Event,
    caplog: pytest.LogCaptureFixture,
) -> None:
    task = {"name": f"{queue}/tasks/once", **WORK}
    full_disk.set()
    with pytest.raises(exceptions.ServiceUnavailable, match="disk is full"):
        client.create_task(parent=queue, task=task)
    with pytest.raises(exceptions.NotFound):
        client.get_task(name=task["name"])
    full_disk.clear()
    client.create_task(parent=queue, task=task)
    server.wait_idle()
    assert [request.task for request in handler.requests] == ["once"]
    gc.collect()
    assert caplog.text == "", "asyncio complains of failures that nobody asked about"


def test_a_success_that_cannot_be_written_is_written_later(
    start_server: StartServer, handler: Handler, full_disk: threading.Event, tmp_path: Path
) -> None:
    server = start_server(data=tmp_path / "tasks.sqlite3")
    queue = f"{server.location_name}/queues/q"
    handler.before_answer = full_disk.set
    with client_of(server.address) as client:
        client.create_task(parent=queue, task=WORK)
    handler.wait_for(1)
    wait_until(lambda: ask(server, "GET", "/counts")[1]["deliveries"] == {"success": 1})
    full_disk.clear()
    server.close()
    again = start_server(data=tmp_path / "tasks.sqlite3")
    again.wait_idle()
    assert len(handler.requests) == 1


def test_what_an_http_target_is_told_of_earlier_attempts_is_kept_and_was_not_in_older_files(
    start_server: StartServer, handler: Handler, tmp_path: Path
) -> None:
    path = tmp_path / "tasks.sqlite3"
    server = start_server(data=path)
    queue = f"{server.location_name}/queues/q"
    later = {"min_backoff": {"seconds": 600}, "max_backoff": {"seconds": 600}}
    handler.statuses = [404, 404]
    with client_of(server.address) as client:
        task = client.create_task(
            parent=queue, task={"http_request": {"url": handler.url}, "retry_config": later}
        )
        wait_until(lambda: client.get_task(name=task.name).response_count == 1)
    server.close()

    server = start_server(data=path)
    with client_of(server.address) as client:
        client.run_task(name=task.name)
        wait_until(lambda: client.get_task(name=task.name).response_count == 2)
    server.close()
    assert handler.requests[1].headers["x-cloudtasks-taskexecutioncount"] == "1"

    database = sqlite3.connect(path)
    database.executescript("ALTER TABLE tasks DROP COLUMN executed_count; PRAGMA user_version = 1;")
    database.close()
    server = start_server(data=path)
    with client_of(server.address) as client:
        client.run_task(name=task.name)
        handler.wait_for(3)
    assert handler.requests[2].headers["x-cloudtasks-taskretrycount"] == "2"
    assert handler.requests[2].headers["x-cloudtasks-taskexecutioncount"] == "0"
