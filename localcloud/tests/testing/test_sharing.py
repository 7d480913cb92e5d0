"""Servers that tests share: whatever one test leaves behind, its neighbours pass."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from google.cloud import tasks_v2
from google.cloud.tasks_v2.services.cloud_tasks.transports import CloudTasksGrpcTransport
from google.protobuf import field_mask_pb2
from localcloud.testing import LocalCloud, LocalCloudError, TasksProcess

PARENT = "projects/local-project/locations/us-central1"
QUEUE = f"{PARENT}/queues/jobs"
NOBODY = "http://127.0.0.1:1"


@pytest.fixture
def shared(root: Path) -> Iterator[TasksProcess]:
    with TasksProcess(root / "queue.yaml", {"worker": NOBODY}) as server:
        server.reset()
        yield server


def client_at(address: str) -> tasks_v2.CloudTasksClient:
    return tasks_v2.CloudTasksClient(
        transport=CloudTasksGrpcTransport(channel=grpc.insecure_channel(address))
    )


def limits_at(client: tasks_v2.CloudTasksClient) -> dict[str, float]:
    """How many tasks a second each queue dispatches at most."""
    return {
        queue.name: queue.rate_limits.max_dispatches_per_second for queue in client.list_queues(parent=PARENT)
    }


def enqueue(client: tasks_v2.CloudTasksClient, count: int = 1) -> None:
    request = tasks_v2.AppEngineHttpRequest(relative_uri="/work")
    for _ in range(count):
        client.create_task(parent=QUEUE, task=tasks_v2.Task(app_engine_http_request=request))


def test_tasks_that_are_tried_for_ever_and_a_paused_queue_are_gone_after_one_test(
    shared: TasksProcess,
) -> None:
    client = client_at(shared.address)
    pid = shared.pid
    with shared.for_one_test():
        enqueue(client, 5)
        client.pause_queue(name=QUEUE)
        enqueue(client, 5)
        with pytest.raises(LocalCloudError, match="Not idle"):
            shared.wait_idle(0.2)
    shared.wait_idle(5)
    assert client.get_queue(name=QUEUE).state == tasks_v2.Queue.State.RUNNING
    assert list(client.list_tasks(parent=QUEUE)) == []
    assert shared.pid == pid


def test_so_they_are_after_a_test_that_fails(shared: TasksProcess) -> None:
    with pytest.raises(ZeroDivisionError), shared.for_one_test():
        enqueue(client_at(shared.address))
        raise ZeroDivisionError
    shared.wait_idle(5)


def test_a_server_whose_queues_were_configured_otherwise_is_replaced_at_its_address(
    shared: TasksProcess,
) -> None:
    client = client_at(shared.address)
    address, before = shared.address, limits_at(client)
    with shared.for_one_test():
        changed = tasks_v2.Queue(name=QUEUE, rate_limits=tasks_v2.RateLimits(max_dispatches_per_second=1))
        paths = field_mask_pb2.FieldMask(paths=["rate_limits.max_dispatches_per_second"])
        client.update_queue(queue=changed, update_mask=paths)
        client.create_queue(parent=PARENT, queue=tasks_v2.Queue(name=f"{PARENT}/queues/another"))
    assert shared.address == address
    assert limits_at(client_at(address)) == before


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
def test_a_server_that_was_killed_or_stopped_is_replaced_at_its_address(
    shared: TasksProcess, monkeypatch: pytest.MonkeyPatch, number: signal.Signals
) -> None:
    monkeypatch.setattr("localcloud.testing.sharing._CALL_SECONDS", 1.0)
    address = shared.address
    with shared.for_one_test():
        enqueue(client_at(address))
        os.kill(shared.pid, number)
    assert shared.address == address
    shared.wait_idle(5)


def test_a_local_cloud_of_several_tests_is_left_as_it_was_and_replaced_if_it_is_gone(
    root: Path, tmp_path: Path
) -> None:
    files = ["app.yaml", "worker.yaml", "queue.yaml"]
    with LocalCloud(files, root=root, data=tmp_path / "data", faults=True) as cloud:
        with cloud.for_one_test():
            pid = cloud.pid
            cloud.set_faults({"lose_request": 1.0}, datastore=[{"method": "*", "fault": "request_lost"}])
            enqueue(client_at(cloud.tasks_address))
            cloud.kill("worker")
        cloud.wait_idle(5)
        assert cloud.pid == pid
        assert cloud.fault_report()["datastore"]["rules"] == []
        with cloud.for_one_test():
            enqueue(client_at(cloud.tasks_address))
            cloud.kill_all()
        cloud.wait_idle(5)
        assert cloud.pid != pid
