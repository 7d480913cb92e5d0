"""v2beta3: what v2 has under its own names, and the lifetimes of tasks and of their names."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from google.api_core import exceptions
from google.cloud import tasks_v2beta3
from localcloud.tasks import TasksServer

from tests.tasks.harness import Client, Handler, beta_client_of


@pytest.fixture
def beta(server: TasksServer) -> Iterator[Client]:
    with beta_client_of(server.address) as client:
        yield client


def test_a_queue_is_created_and_updated_with_its_lifetimes(
    beta: Client, client: Client, server: TasksServer
) -> None:
    name = f"{server.location_name}/queues/new"
    queue = {
        "name": name,
        "app_engine_http_queue": {"app_engine_routing_override": {"service": "worker"}},
        "rate_limits": {"max_dispatches_per_second": 5},
        "task_ttl": timedelta(days=20),
        "tombstone_ttl": timedelta(hours=2),
    }
    created = beta.create_queue(parent=server.location_name, queue=queue)
    assert created.app_engine_http_queue.app_engine_routing_override.service == "worker"
    assert (created.task_ttl, created.tombstone_ttl) == (timedelta(days=20), timedelta(hours=2))
    assert client.get_queue(name=name).app_engine_routing_override.service == "worker"

    changes = {"name": name, "tombstone_ttl": timedelta(days=1), "task_ttl": timedelta(days=30)}
    updated = beta.update_queue(queue=changes, update_mask={"paths": ["tombstone_ttl"]})
    assert (updated.task_ttl, updated.tombstone_ttl) == (timedelta(days=20), timedelta(days=1))
    assert updated.rate_limits.max_dispatches_per_second == 5

    override = {"app_engine_http_queue": {"app_engine_routing_override": {"service": "other"}}}
    mask = {"paths": ["app_engine_http_queue.app_engine_routing_override", "rate_limits"]}
    updated = beta.update_queue(queue={"name": name, **override}, update_mask=mask)
    assert updated.app_engine_http_queue.app_engine_routing_override.service == "other"
    assert updated.tombstone_ttl == timedelta(days=1)
    beta.delete_queue(name=name)
    with pytest.raises(exceptions.NotFound):
        beta.get_queue(name=name)


def test_a_queue_that_is_updated_before_it_is_there_is_created(beta: Client, server: TasksServer) -> None:
    name = f"{server.location_name}/queues/new"
    assert beta.update_queue(queue={"name": name, "task_ttl": timedelta(days=11)}).task_ttl == timedelta(
        days=11
    )


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"task_ttl": timedelta(days=9)}, "task_ttl"),
        ({"tombstone_ttl": timedelta(days=10)}, "tombstone_ttl"),
        ({"type_": "PULL"}, "PULL"),
        ({"rate_limits": {"max_dispatches_per_second": 501}}, "max_dispatches_per_second"),
    ],
)
def test_a_queue_that_cannot_be_is_refused(
    beta: Client, server: TasksServer, change: dict[str, object], words: str
) -> None:
    name = f"{server.location_name}/queues/new"
    with pytest.raises(exceptions.InvalidArgument, match=words):
        beta.create_queue(parent=server.location_name, queue={"name": name, **change})
    with pytest.raises(exceptions.InvalidArgument, match="colour"):
        beta.update_queue(queue={"name": name}, update_mask={"paths": ["colour"]})


def test_a_task_lives_as_in_v2(beta: Client, client: Client, queue: str, handler: Handler) -> None:
    assert beta.pause_queue(name=queue).state == tasks_v2beta3.Queue.State.PAUSED
    request = {
        "http_method": "PUT",
        "relative_uri": "/work",
        "headers": {"A": "b"},
        "body": b"\xff",
        "app_engine_routing": {"service": "s"},
    }
    task = {
        "name": f"{queue}/tasks/t",
        "app_engine_http_request": request,
        "schedule_time": datetime(2020, 1, 1, tzinfo=UTC),
    }
    created = beta.create_task(
        request={"parent": queue, "task": task, "response_view": tasks_v2beta3.Task.View.FULL}
    )
    told = created.app_engine_http_request
    assert (told.body, told.relative_uri, told.headers["A"]) == (b"\xff", "/work", "b")
    assert told.app_engine_routing.service == "s"
    assert client.get_task(name=created.name).app_engine_http_request.relative_uri == "/work"
    assert [each.name for each in beta.list_tasks(parent=queue)] == [created.name]
    beta.run_task(name=created.name)
    handler.wait_for(1)
    assert handler.requests[0].method == "PUT"
    assert beta.resume_queue(name=queue).state == tasks_v2beta3.Queue.State.RUNNING
    assert beta.purge_queue(name=queue).purge_time


def test_pull_tasks_are_refused(beta: Client, queue: str) -> None:
    with pytest.raises(exceptions.InvalidArgument, match="http_request"):
        beta.create_task(parent=queue, task={"pull_message": {"payload": b"x"}})


def test_a_call_without_time_is_not_begun(client: Client, server: TasksServer, queue: str) -> None:
    client.pause_queue(name=queue)
    task = {"http_request": {"url": "http://127.0.0.1:9/"}}
    for _ in range(20):
        with pytest.raises(exceptions.DeadlineExceeded):
            client.create_task(parent=queue, task=task, timeout=1e-9, retry=None)
    assert list(client.list_tasks(parent=queue)) == []
