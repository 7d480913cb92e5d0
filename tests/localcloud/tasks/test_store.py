"""A disk that refuses to write refuses new tasks, and harms nothing else."""

from __future__ import annotations

import sqlite3
import threading
from pathlib import Path

import pytest
from google.api_core import exceptions

from localcloud.tasks import TasksServer, store
from localcloud.tasks.store import Store
from tests.localcloud.tasks.conftest import StartServer
from tests.localcloud.tasks.harness import Client, Handler, client_of

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
    client: Client, server: TasksServer, queue: str, handler: Handler, full_disk: threading.Event
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


def test_a_success_that_cannot_be_written_is_written_later(
    start_server: StartServer, handler: Handler, full_disk: threading.Event, tmp_path: Path
) -> None:
    server = start_server(data=tmp_path / "tasks.sqlite3")
    queue = f"{server.location_name}/queues/q"
    handler.before_answer = full_disk.set
    with client_of(server.address) as client:
        client.create_task(parent=queue, task=WORK)
    handler.wait_for(1)
    server.wait_idle()
    full_disk.clear()
    server.close()
    again = start_server(data=tmp_path / "tasks.sqlite3")
    again.wait_idle()
    assert len(handler.requests) == 1
