"""What is acknowledged survives `kill -9`, and what was under way is delivered again."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from localcloud.tasks.messages import CreateTaskRequest, Task

from tests.tasks.harness import Client, Handler, client_of, wait_until
from tests.tasks.process import LOCATION, QUEUES, ServerProcess

QUEUE = f"{LOCATION}/queues/q"
CREATE = "/google.cloud.tasks.v2.CloudTasks/CreateTask"


@pytest.fixture
def processes() -> Iterator[list[ServerProcess]]:
    """Killed at the end, if they are still there."""
    processes: list[ServerProcess] = []
    yield processes
    for process in processes:
        process.kill()


def create_until_killed(address: str, number: int, acknowledged: list[str]) -> None:
    """Create named tasks one after the other, noting those that were acknowledged."""
    with grpc.insecure_channel(address) as channel:
        create = channel.unary_unary(CREATE, CreateTaskRequest.SerializeToString, Task.FromString)
        for count in range(100_000):
            request = CreateTaskRequest(parent=QUEUE)
            task_id = f"client-{number}-task-{count}"
            request.task.name = f"{QUEUE}/tasks/{task_id}"
            request.task.app_engine_http_request.relative_uri = "/work"
            try:
                create(request, timeout=5)
            except grpc.RpcError:
                return
            acknowledged.append(task_id)


def test_acknowledged_tasks_survive_a_kill_under_load_and_each_is_delivered(
    handler: Handler, tmp_path: Path, processes: list[ServerProcess]
) -> None:
    # Slower than the creations: so something always waits.
    (tmp_path / "queue.yaml").write_text("queue:\n- name: q\n  rate: 100/s\n")
    processes.append(ServerProcess(tmp_path, handler.url))
    acknowledged: list[list[str]] = [[] for _ in range(4)]
    clients = [
        threading.Thread(target=create_until_killed, args=(processes[0].address, number, names))
        for number, names in enumerate(acknowledged)
    ]
    for thread in clients:
        thread.start()
    wait_until(lambda: sum(map(len, acknowledged)) > 300)
    processes[0].kill()
    for thread in clients:
        thread.join()
    created = {name for names in acknowledged for name in names}
    delivered_before = {request.task for request in list(handler.requests)}
    assert created - delivered_before, "nothing was waiting when the server was killed"
    (tmp_path / "queue.yaml").write_text(QUEUES)
    processes.append(ServerProcess(tmp_path, handler.url))
    wait_until(lambda: created <= {request.task for request in list(handler.requests)}, 20)


def test_a_task_under_way_when_the_server_is_killed_is_delivered_again(
    handler: Handler, tmp_path: Path, processes: list[ServerProcess]
) -> None:
    released = threading.Event()
    handler.before_answer = lambda: released.wait(20)
    processes.append(ServerProcess(tmp_path, handler.url))
    with client_of(processes[0].address) as client:
        client.create_task(
            parent=QUEUE, task={"name": f"{QUEUE}/tasks/once", "app_engine_http_request": {"body": b"x"}}
        )
    handler.wait_for(1)
    processes[0].kill()
    released.set()
    processes.append(ServerProcess(tmp_path, handler.url))
    handler.wait_for(2)
    assert [(request.task, request.body) for request in handler.requests] == [("once", b"x")] * 2


def test_what_a_stopped_server_was_told_holds_after_the_next_start(
    handler: Handler, tmp_path: Path, processes: list[ServerProcess]
) -> None:
    handler.statuses = [500]
    processes.append(ServerProcess(tmp_path, handler.url))
    with client_of(processes[0].address) as client:
        finished, failed, waiting = (f"{QUEUE}/tasks/{name}" for name in ("finished", "failed", "waiting"))
        work = {"app_engine_http_request": {"relative_uri": "/work", "body": b"x"}}
        slow = {"retry_config": {"min_backoff": {"seconds": 600}}}
        client.create_task(parent=QUEUE, task={"name": failed, **work, **slow})
        wait_until(lambda: bool(client.get_task(name=failed).response_count))
        client.create_task(parent=QUEUE, task={"name": finished, **work})
        handler.wait_for(2)
        wait_until(lambda: finished not in {task.name for task in client.list_tasks(parent=QUEUE)})
        client.pause_queue(name=QUEUE)
        client.create_task(parent=QUEUE, task={"name": waiting, **work})
        other = client.create_queue(
            parent=LOCATION,
            queue={"name": f"{LOCATION}/queues/other", "rate_limits": {"max_dispatches_per_second": 7}},
        )
        before = {task.name: task for task in client.list_tasks(parent=QUEUE)}
    assert processes[0].terminate() == 0
    processes.append(ServerProcess(tmp_path, handler.url))
    with client_of(processes[1].address) as client:
        assert {task.name: task for task in client.list_tasks(parent=QUEUE)} == before
        assert before[failed].last_attempt.response_status.message == "INTERNAL(13): HTTP status code 500"
        assert client.get_queue(name=QUEUE).state.name == "PAUSED"
        assert client.get_queue(name=other.name) == other
        assert_taken(client, finished)
        client.resume_queue(name=QUEUE)
        handler.wait_for(3)
        assert (handler.requests[2].task, handler.requests[2].body) == ("waiting", b"x")


def assert_taken(client: Client, name: str) -> None:
    with pytest.raises(Exception, match="too recently"):
        client.create_task(parent=QUEUE, task={"name": name, "app_engine_http_request": {}})


def test_a_queue_that_queue_yaml_no_longer_names_is_disabled_and_keeps_its_tasks(
    handler: Handler, tmp_path: Path, processes: list[ServerProcess]
) -> None:
    processes.append(ServerProcess(tmp_path, handler.url))
    assert processes[0].terminate() == 0
    (tmp_path / "queue.yaml").write_text("queue:\n- name: another\n  rate: 1/s\n- name: held\n  rate: 0\n")
    processes.append(ServerProcess(tmp_path, handler.url))
    with client_of(processes[1].address) as client:
        assert client.get_queue(name=QUEUE).state.name == "DISABLED"
        assert client.get_queue(name=f"{LOCATION}/queues/held").state.name == "PAUSED"
        task = client.create_task(parent=QUEUE, task={"app_engine_http_request": {}})
        assert client.get_task(name=task.name).dispatch_count == 0
        client.resume_queue(name=QUEUE)
    handler.wait_for(1)


def test_a_second_server_on_the_same_file_or_port_says_so_and_ends(
    handler: Handler, tmp_path: Path, processes: list[ServerProcess]
) -> None:
    processes.append(ServerProcess(tmp_path, handler.url))
    port = processes[0].address.rpartition(":")[2]
    data = str(tmp_path / "tasks.sqlite3")
    for arguments, told in (
        (["--data", data, "--port", "0"], "in use by another server"),
        (["--port", port], "free port"),
    ):
        finished = subprocess.run(
            [sys.executable, "-m", "localcloud.tasks", *arguments],
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
        assert finished.returncode == 2
        assert told in finished.stderr
        assert finished.stderr.count("\n") == 1
