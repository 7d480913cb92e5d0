"""Nothing is answered, dispatched or shown before it is on disk; what the disk refuses has not happened."""

from __future__ import annotations

import asyncio
import sqlite3
import stat
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeAlias

import grpc
import pytest
from google.api_core import exceptions
from localcloud.tasks import TasksServer, store
from localcloud.tasks.batch_methods import BatchMethods
from localcloud.tasks.errors import ApiError
from localcloud.tasks.messages import (
    BatchCreateTasksRequest,
    BatchDeleteTasksRequest,
    CreateTaskRequest,
    DeleteTaskRequest,
    GetTaskRequest,
    Message,
)
from localcloud.tasks.store import Store

from tests.tasks.conftest import StartServer
from tests.tasks.harness import Client, Handler, client_of, wait_until
from tests.tasks.process import LOCATION, ServerProcess
from tests.tasks.test_side_port import ask

WORK = {"app_engine_http_request": {"relative_uri": "/work"}}
QUEUE = f"{LOCATION}/queues/q"
METHODS = "/google.cloud.tasks.v2.CloudTasks/"
# A server that never commits, and writes into a file how many callers wait for it.
NEVER_COMMITS = """
import pathlib
from localcloud.tasks.store import Store

def flush(store):
    pathlib.Path({waiting!r}).write_text(str(len(store._waiters)))
    store._flush = store._loop.call_later(0.01, store.flush)

Store.flush = flush
"""
DIES_AFTER_COMMIT = """
import os, signal
from localcloud.tasks.unwritten import Unwritten

Unwritten.apply = lambda changes: os.kill(os.getpid(), signal.SIGKILL)
"""
Start: TypeAlias = Callable[..., "Future[Any]"]


class HeldCommits:
    """While they are held, what is handed to the store waits, and so does whoever waits for it."""

    def __init__(self) -> None:
        self._flush = Store.flush
        self._is_held = False
        self._callers = 0

    def flush(self, store: Store) -> None:
        self._callers = len(store._waiters)
        if self._is_held:
            store._flush = store._loop.call_later(0.002, store.flush)
        else:
            self._flush(store)

    def hold(self) -> None:
        self._is_held = True

    def release(self) -> None:
        self._is_held = False

    def wait_for(self, callers: int) -> None:
        """Return once that many callers wait for the commit."""
        wait_until(lambda: self._callers >= callers)


@pytest.fixture
def start() -> Iterator[Start]:
    """Makes a call on a thread of its own."""
    with ThreadPoolExecutor(16) as pool:
        yield pool.submit


@pytest.fixture
def commits(monkeypatch: pytest.MonkeyPatch, start: Start) -> Iterator[HeldCommits]:
    # After `start`, so that at the end no call waits for a commit that is held.
    commits = HeldCommits()
    monkeypatch.setattr(Store, "flush", lambda store: commits.flush(store))
    yield commits
    commits.release()


class Disk:
    """The server's disk, which may refuse every write: SQLite itself does, so all ways to write are met."""

    def __init__(self, server: TasksServer) -> None:
        self._database: sqlite3.Connection = server._running().broker.store._database

    def refuse(self) -> None:
        self._database.execute("PRAGMA query_only = ON")

    def accept(self) -> None:
        self._database.execute("PRAGMA query_only = OFF")


@pytest.fixture
def disk(server: TasksServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[Disk]:
    monkeypatch.setattr(store, "RETRY_SECONDS", 0.05)
    disk = Disk(server)
    yield disk
    disk.accept()


@pytest.fixture
def processes() -> Iterator[list[ServerProcess]]:
    """Killed at the end, if they are still there."""
    processes: list[ServerProcess] = []
    yield processes
    for process in processes:
        process.kill()


def named(queue: str, task_id: str) -> dict[str, Any]:
    return {"name": f"{queue}/tasks/{task_id}", **WORK}


def batch_of(queue: str, *task_ids: str) -> list[dict[str, Any]]:
    return [{"parent": queue, "task": named(queue, task_id)} for task_id in task_ids]


def names_in(client: Client, queue: str) -> list[str]:
    return [task.name.rpartition("/")[2] for task in client.list_tasks(parent=queue)]


def assert_not_written(call: Callable[..., object], **arguments: object) -> None:
    with pytest.raises(exceptions.ServiceUnavailable, match="could not be written"):
        call(**arguments, retry=None)


def creation(queue: str, task_id: str) -> Message:
    request = CreateTaskRequest(parent=queue)
    request.task.name = f"{queue}/tasks/{task_id}"
    request.task.app_engine_http_request.relative_uri = "/work"
    return request


def raw_call(channel: grpc.Channel, method: str, request: Message) -> Any:
    """The future of a call that nobody repeats."""
    serialize = type(request).SerializeToString
    return channel.unary_unary(METHODS + method, serialize, bytes).future(request, timeout=60)


def test_a_name_is_told_to_be_taken_only_once_the_task_is_on_disk(
    client: Client, server: TasksServer, queue: str, handler: Handler, commits: HeldCommits, start: Start
) -> None:
    client.pause_queue(name=queue)
    name = f"{queue}/tasks/once"
    commits.hold()
    created = start(client.create_task, parent=queue, task=named(queue, "once"))
    commits.wait_for(1)
    again = start(client.create_task, parent=queue, task=named(queue, "once"))
    batch = start(client.batch_create_tasks, parent=queue, requests=batch_of(queue, "once", "a", "a"))
    got = start(client.get_task, name=name)
    listed = start(names_in, client, queue)
    run = start(client.run_task, name=name)
    calls = (created, again, batch, got, listed, run)
    commits.wait_for(len(calls))
    assert client.get_queue(name=queue).name == queue, "what needs no commit is answered"
    assert not any(call.done() for call in calls)
    assert handler.requests == []
    commits.release()
    assert created.result(10).name == got.result(10).name == run.result(10).name == name
    with pytest.raises(exceptions.AlreadyExists):
        again.result(10)
    failed = batch.result(10).metadata.failed_requests
    assert {index: status.code for index, status in failed.items()} == {0: 6, 2: 6}
    assert "once" in listed.result(10)
    handler.wait_for(1)
    client.resume_queue(name=queue)
    server.wait_idle()
    assert sorted(request.task for request in handler.requests) == ["a", "once"]


def test_a_creation_that_fails_is_told_so_to_everybody_who_waited_for_it(
    client: Client,
    server: TasksServer,
    queue: str,
    handler: Handler,
    commits: HeldCommits,
    disk: Disk,
    start: Start,
) -> None:
    name = f"{queue}/tasks/once"
    commits.hold()
    calls = [start(client.create_task, parent=queue, task=named(queue, "once"))]
    commits.wait_for(1)
    calls += [start(client.create_task, parent=queue, task=named(queue, "once")) for _ in range(3)]
    calls.append(start(client.batch_create_tasks, parent=queue, requests=batch_of(queue, "once", "a")))
    calls.append(start(client.batch_create_tasks, parent=queue, requests=batch_of(queue, "once")))
    calls.append(start(client.get_task, name=name, retry=None))
    calls.append(start(client.run_task, name=name))
    calls.append(start(client.delete_task, name=name, retry=None))
    calls.append(start(client.batch_delete_tasks, parent=queue, names=[name], retry=None))
    commits.wait_for(len(calls))
    disk.refuse()
    commits.release()
    for call in calls:
        with pytest.raises(exceptions.ServiceUnavailable, match="could not be written"):
            call.result(10)
    disk.accept()
    assert names_in(client, queue) == []
    assert handler.requests == []
    operation = client.batch_create_tasks(parent=queue, requests=batch_of(queue, "once", "a"))
    assert not operation.metadata.failed_requests, "the names are free"
    server.wait_idle()
    assert sorted(request.task for request in handler.requests) == ["a", "once"]


def test_a_task_whose_creator_gave_up_is_dispatched_only_once_it_is_on_disk(
    server: TasksServer, client: Client, queue: str, handler: Handler, commits: HeldCommits
) -> None:
    commits.hold()
    with grpc.insecure_channel(server.address) as channel:
        call = raw_call(channel, "CreateTask", creation(queue, "given-up"))
        commits.wait_for(1)
        call.cancel()
        waiters = server._running().broker.store._waiters
        wait_until(lambda: all(waiter.cancelled() for waiter in waiters))
        # Two answered calls later it would have been sent.
        client.pause_queue(name=queue)
        client.resume_queue(name=queue)
    assert handler.requests == []
    assert server._running().broker.queues[queue].in_flight == 0
    commits.release()
    handler.wait_for(1)


def test_a_deletion_that_fails_has_not_happened(
    client: Client, server: TasksServer, queue: str, handler: Handler, disk: Disk
) -> None:
    client.pause_queue(name=queue)
    client.batch_create_tasks(parent=queue, requests=batch_of(queue, "a", "b"))
    name = f"{queue}/tasks/a"
    disk.refuse()
    assert_not_written(client.delete_task, name=name)
    assert_not_written(client.batch_delete_tasks, parent=queue, names=[name])
    assert_not_written(client.purge_queue, name=queue)
    assert_not_written(client.delete_queue, name=queue)
    assert names_in(client, queue) == ["a", "b"]
    assert client.get_task(name=name).name == name
    assert not client.get_queue(name=queue).purge_time
    disk.accept()
    client.resume_queue(name=queue)
    server.wait_idle()
    assert sorted(request.task for request in handler.requests) == ["a", "b"]


def test_a_deletion_shows_only_once_it_is_on_disk(
    client: Client, queue: str, commits: HeldCommits, start: Start
) -> None:
    client.pause_queue(name=queue)
    client.batch_create_tasks(parent=queue, requests=batch_of(queue, "a", "b", "c"))
    name = f"{queue}/tasks/a"
    commits.hold()
    deleted = start(client.delete_task, name=name)
    commits.wait_for(1)
    twice = start(client.delete_task, name=name)
    batch = start(client.batch_delete_tasks, parent=queue, names=[f"{queue}/tasks/b"] * 2)
    got = start(client.get_task, name=name)
    commits.wait_for(4)
    purged = start(client.purge_queue, name=queue)
    listed = start(names_in, client, queue)
    calls = (deleted, twice, batch, got, purged, listed)
    commits.wait_for(len(calls))
    assert not any(call.done() for call in calls)
    assert not client.get_queue(name=queue).purge_time
    commits.release()
    deleted.result(10)
    for call in (twice, got):
        with pytest.raises(exceptions.NotFound, match="existed recently"):
            call.result(10)
    assert {index: status.code for index, status in batch.result(10).metadata.failed_requests.items()} == {
        1: 5
    }
    assert purged.result(10).purge_time
    assert listed.result(10) == []
    with pytest.raises(exceptions.AlreadyExists, match="too recently"):
        client.create_task(parent=queue, task=named(queue, "c"))


def test_a_queue_that_cannot_be_written_stays_as_it_is(
    client: Client, server: TasksServer, queue: str, handler: Handler, disk: Disk
) -> None:
    before = client.get_queue(name=queue)
    other = f"{queue}-other"
    disk.refuse()
    slower = {"name": queue, "rate_limits": {"max_dispatches_per_second": 1}}
    assert_not_written(client.pause_queue, name=queue)
    assert_not_written(client.update_queue, queue=slower)
    assert_not_written(client.update_queue, queue={"name": other})
    assert_not_written(client.create_queue, parent=server.location_name, queue={"name": other})
    assert client.get_queue(name=queue) == before
    with pytest.raises(exceptions.NotFound):
        client.get_queue(name=other)
    disk.accept()
    client.create_task(parent=queue, task=WORK)
    handler.wait_for(1)


def test_a_task_that_has_finished_is_gone_only_once_that_is_on_disk(
    client: Client, server: TasksServer, queue: str, handler: Handler, disk: Disk
) -> None:
    handler.before_answer = disk.refuse
    client.create_task(parent=queue, task=named(queue, "once"))
    wait_until(lambda: ask(server, "GET", "/counts")[1]["deliveries"] == {"success": 1})
    assert_not_written(client.get_task, name=f"{queue}/tasks/once")
    assert_not_written(client.list_tasks, parent=queue)
    assert ask(server, "GET", "/idle?timeout=0.05")[0] == 408
    disk.accept()
    with pytest.raises(exceptions.NotFound, match="existed recently"):
        client.get_task(name=f"{queue}/tasks/once")
    assert ask(server, "GET", "/idle?timeout=10")[0] == 200


def test_a_batch_finds_its_queue_deleted_rather_than_filling_it(server: TasksServer, queue: str) -> None:
    service = server._running()
    request = BatchCreateTasksRequest(parent=queue)
    request.requests.add(parent=queue).task.app_engine_http_request.relative_uri = "/work"

    async def create_while_it_goes() -> None:
        creating = asyncio.ensure_future(BatchMethods(service.broker).batch_create_tasks(request))
        await asyncio.sleep(0)
        service.broker.delete_queue(service.broker.queue(queue))
        await creating

    with pytest.raises(ApiError, match="Queue does not exist"):
        server._call(create_while_it_goes())


def test_a_server_killed_before_the_commit_has_told_nobody_of_the_task(
    handler: Handler, tmp_path: Path, processes: list[ServerProcess]
) -> None:
    waiting = tmp_path / "waiting"
    waiting.write_text("0")
    before_it = NEVER_COMMITS.format(waiting=str(waiting))
    processes.append(ServerProcess(tmp_path, handler.url, before_it=before_it))

    def wait_for(callers: int) -> None:
        wait_until(lambda: int(waiting.read_text() or 0) >= callers)

    batch = BatchCreateTasksRequest(parent=QUEUE)
    batch.requests.extend([creation(QUEUE, "once"), creation(QUEUE, "a")])
    name = f"{QUEUE}/tasks/once"
    with grpc.insecure_channel(processes[0].address) as channel:
        calls = [raw_call(channel, "CreateTask", creation(QUEUE, "once"))]
        wait_for(1)
        calls.append(raw_call(channel, "CreateTask", creation(QUEUE, "once")))
        calls += [raw_call(channel, "BatchCreateTasks", batch) for _ in range(2)]
        calls.append(raw_call(channel, "GetTask", GetTaskRequest(name=name)))
        calls.append(raw_call(channel, "DeleteTask", DeleteTaskRequest(name=name)))
        deletions = BatchDeleteTasksRequest(parent=QUEUE, names=[name])
        calls.append(raw_call(channel, "BatchDeleteTasks", deletions))
        wait_for(len(calls))
        processes[0].kill()
        assert {call.code() for call in calls} == {grpc.StatusCode.UNAVAILABLE}
    assert handler.requests == []
    processes.append(ServerProcess(tmp_path, handler.url))
    with client_of(processes[1].address) as client:
        operation = client.batch_create_tasks(parent=QUEUE, requests=batch_of(QUEUE, "once", "a"))
        assert not operation.metadata.failed_requests
    handler.wait_for(2)


@pytest.mark.parametrize("as_batch", [False, True])
def test_a_server_killed_between_commit_and_answer_has_the_task(
    handler: Handler, tmp_path: Path, processes: list[ServerProcess], as_batch: bool
) -> None:
    processes.append(ServerProcess(tmp_path, handler.url, before_it=DIES_AFTER_COMMIT))
    with client_of(processes[0].address) as client, pytest.raises(exceptions.ServiceUnavailable):
        if as_batch:
            client.batch_create_tasks(parent=QUEUE, requests=batch_of(QUEUE, "once"), retry=None)
        else:
            client.create_task(parent=QUEUE, task=named(QUEUE, "once"), retry=None)
    assert handler.requests == []
    processes.append(ServerProcess(tmp_path, handler.url))
    handler.wait_for(1)
    assert handler.requests[0].task == "once"


def test_nobody_else_reads_the_file_even_if_it_was_there_before(
    start_server: StartServer, tmp_path: Path
) -> None:
    path = tmp_path / "tasks.sqlite3"
    log = tmp_path / "tasks.sqlite3-wal"
    start_server(data=path).close()
    path.chmod(0o644)
    log.touch(0o644)
    server = start_server(data=path)
    with client_of(server.address) as client:
        client.create_task(parent=f"{server.location_name}/queues/q", task=WORK)
    assert [stat.S_IMODE(file.stat().st_mode) for file in (path, log)] == [0o600] * 2
