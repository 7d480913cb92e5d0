"""BatchCreateTasks and BatchDeleteTasks, which the client library takes for finished when they return."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from google.api_core import exceptions
from google.cloud import tasks_v2
from localcloud.tasks import TasksServer

from tests.tasks.harness import Client, Handler

Created = tasks_v2.BatchCreateTasksMetadata.State
Deleted = tasks_v2.BatchDeleteTasksMetadata.State


def requests(queue: str, *task_ids: str) -> list[dict[str, Any]]:
    return [
        {
            "parent": queue,
            "task": {
                "name": f"{queue}/tasks/{task_id}",
                "app_engine_http_request": {"relative_uri": "/work"},
            },
        }
        for task_id in task_ids
    ]


def test_a_hundred_tasks_are_created_in_order_and_delivered(
    client: Client, queue: str, server: TasksServer, handler: Handler
) -> None:
    ids = [f"task-{number}" for number in range(100)]
    operation = client.batch_create_tasks(parent=queue, requests=requests(queue, *ids))
    assert operation.done()
    assert operation.metadata.state == Created.SUCCEEDED
    assert operation.metadata.end_time >= operation.metadata.start_time
    assert [task.name for task in operation.result().tasks] == [f"{queue}/tasks/{task_id}" for task_id in ids]
    server.wait_idle()
    assert sorted(request.task for request in handler.requests) == sorted(ids)


def test_each_task_that_fails_has_its_own_status_and_the_others_are_made(
    client: Client, queue: str, server: TasksServer, handler: Handler
) -> None:
    batch = requests(queue, "a", "b", "a", "c")
    batch[1]["task"]["app_engine_http_request"]["relative_uri"] = "nowhere"
    operation = client.batch_create_tasks(parent=queue, requests=batch)
    assert operation.metadata.state == Created.PARTIALLY_SUCCEEDED
    failed = operation.metadata.failed_requests
    assert {index: status.code for index, status in failed.items()} == {1: 3, 2: 6}
    assert "relative_uri" in failed[1].message
    assert [task.name.rpartition("/")[2] for task in operation.result().tasks] == ["a", "c"]
    server.wait_idle()
    assert sorted(request.task for request in handler.requests) == ["a", "c"]


def test_a_repeated_request_id_is_not_applied_twice(
    client: Client, queue: str, server: TasksServer, handler: Handler
) -> None:
    request = {"parent": queue, "requests": requests(queue, "a"), "request_id": "the-same"}
    first, second = client.batch_create_tasks(request=request), client.batch_create_tasks(request=request)
    assert first.operation == second.operation
    server.wait_idle()
    assert len(handler.requests) == 1


def test_a_request_id_that_comes_twenty_times_at_once_is_applied_once(
    client: Client, queue: str, server: TasksServer, handler: Handler
) -> None:
    unnamed = {"parent": queue, "task": {"app_engine_http_request": {"relative_uri": "/work"}}}
    request = {"parent": queue, "requests": [unnamed], "request_id": "the-same"}
    with ThreadPoolExecutor(20) as pool:
        operations = list(pool.map(lambda _: client.batch_create_tasks(request=request), range(20)))
    assert len({operation.result().tasks[0].name for operation in operations}) == 1
    server.wait_idle()
    assert len(handler.requests) == 1


def test_the_operation_can_be_asked_for_again(client: Client, queue: str) -> None:
    operation = client.batch_create_tasks(parent=queue, requests=requests(queue, "a"))
    assert client.get_operation({"name": operation.operation.name}) == operation.operation
    with pytest.raises(exceptions.NotFound):
        client.get_operation({"name": "projects/p/locations/l/operations/none"})


@pytest.mark.parametrize("count", [0, 101])
def test_a_batch_has_one_to_a_hundred_tasks(client: Client, queue: str, count: int) -> None:
    with pytest.raises(exceptions.InvalidArgument, match="Expected 1 to 100"):
        client.batch_create_tasks(parent=queue, requests=requests(queue, *map(str, range(count))))


def test_all_tasks_of_a_batch_belong_to_its_queue(client: Client, queue: str) -> None:
    with pytest.raises(exceptions.InvalidArgument, match=r"requests\[0\].parent"):
        client.batch_create_tasks(parent=queue, requests=requests(f"{queue}-other", "a"))


def test_a_batch_for_a_missing_queue_is_not_found(client: Client, queue: str) -> None:
    missing = f"{queue}-missing"
    with pytest.raises(exceptions.NotFound, match="Queue does not exist"):
        client.batch_create_tasks(parent=missing, requests=requests(missing, "a"))


def test_tasks_are_deleted_in_batches_each_with_its_own_result(client: Client, queue: str) -> None:
    client.pause_queue(name=queue)
    client.batch_create_tasks(parent=queue, requests=requests(queue, "a", "b"))
    names = [f"{queue}/tasks/{task_id}" for task_id in ("a", "missing", "b")]
    operation = client.batch_delete_tasks(parent=queue, names=[*names, "nonsense", f"{queue}x/tasks/a"])
    metadata = operation.metadata
    assert metadata.state == Deleted.PARTIALLY_SUCCEEDED
    assert {index: status.code for index, status in metadata.failed_requests.items()} == {1: 5, 3: 3, 4: 3}
    assert list(client.list_tasks(parent=queue)) == []


def test_a_batch_of_which_nothing_can_be_deleted_is_aborted(client: Client, queue: str) -> None:
    operation = client.batch_delete_tasks(parent=queue, names=[f"{queue}/tasks/missing"])
    assert operation.metadata.state == Deleted.PARTIALLY_SUCCEEDED
    assert operation.operation.error.code == 10
    assert "None of the requests succeeded" in operation.operation.error.message


def test_a_batch_of_deletions_that_succeed_says_so(client: Client, queue: str) -> None:
    client.pause_queue(name=queue)
    client.batch_create_tasks(parent=queue, requests=requests(queue, "a"))
    operation = client.batch_delete_tasks(parent=queue, names=[f"{queue}/tasks/a"])
    assert operation.metadata.state == Deleted.SUCCEEDED
    operation.result()
