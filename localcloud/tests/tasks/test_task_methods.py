"""CreateTask, GetTask, ListTasks, DeleteTask and RunTask, through Google's client library."""

from __future__ import annotations

import base64
import json
import time
from typing import Any

import pytest
from google.api_core import exceptions
from google.cloud import tasks_v2
from google.protobuf import duration_pb2, timestamp_pb2
from localcloud.tasks import TasksServer

from tests.tasks.conftest import StartServer
from tests.tasks.harness import Client, Handler, client_of, wait_until

FULL = tasks_v2.Task.View.FULL


def work(**fields: Any) -> dict[str, Any]:
    """An App Engine task for /work."""
    return {"app_engine_http_request": {"relative_uri": "/work", "body": b"payload"}, **fields}


def later(seconds: float = 3600.0) -> timestamp_pb2.Timestamp:
    time_us = int((time.time() + seconds) * 1e6)
    return timestamp_pb2.Timestamp(seconds=time_us // 10**6, nanos=time_us % 10**6 * 1000)


def test_an_unnamed_task_gets_a_long_number_and_is_delivered(
    client: Client, queue: str, server: TasksServer, handler: Handler
) -> None:
    task = client.create_task(parent=queue, task=work())
    parent, _, task_id = task.name.partition("/tasks/")
    assert parent == queue
    assert task_id.isdigit()
    assert len(task_id) >= 15
    server.wait_idle()
    assert [request.task for request in handler.requests] == [task_id]


def test_a_new_task_is_told_without_its_body_unless_one_asks_for_it(client: Client, queue: str) -> None:
    basic = client.create_task(parent=queue, task=work(schedule_time=later()))
    assert basic.view == tasks_v2.Task.View.BASIC
    assert basic.app_engine_http_request.body == b""
    assert basic.create_time.microsecond == 0
    full = client.get_task(request={"name": basic.name, "response_view": FULL})
    assert full.view == FULL
    assert full.app_engine_http_request.body == b"payload"
    created = client.create_task(
        request={"parent": queue, "task": work(schedule_time=later()), "response_view": FULL}
    )
    assert created.app_engine_http_request.body == b"payload"


def test_a_schedule_time_in_the_past_becomes_now(client: Client, queue: str) -> None:
    client.pause_queue(name=queue)
    before = time.time()
    task = client.create_task(parent=queue, task=work(schedule_time=later(-1000)))
    assert before - 1 < task.schedule_time.timestamp() < time.time() + 1


def test_a_schedule_time_is_kept_to_the_microsecond(client: Client, queue: str) -> None:
    at = later()
    at.nanos = 123_456_789
    task = client.create_task(parent=queue, task=work(schedule_time=at))
    assert task.schedule_time.nanosecond == 123_456_000


def test_what_only_the_server_says_is_ignored_in_a_new_task(client: Client, queue: str) -> None:
    forged = work(
        dispatch_count=7, response_count=7, create_time=later(-9000), schedule_time=later(), view=FULL
    )
    task = client.create_task(parent=queue, task=forged)
    assert (task.dispatch_count, task.response_count) == (0, 0)
    assert abs(task.create_time.timestamp() - time.time()) < 5


def test_the_name_of_a_live_task_is_taken(client: Client, queue: str) -> None:
    task = work(name=f"{queue}/tasks/once", schedule_time=later())
    client.create_task(parent=queue, task=task)
    with pytest.raises(exceptions.AlreadyExists):
        client.create_task(parent=queue, task=task)


def test_the_name_of_a_task_that_succeeded_stays_taken(
    client: Client, queue: str, server: TasksServer, handler: Handler
) -> None:
    task = work(name=f"{queue}/tasks/once")
    client.create_task(parent=queue, task=task)
    server.wait_idle()
    with pytest.raises(exceptions.AlreadyExists, match="too recently"):
        client.create_task(parent=queue, task=task)
    assert len(handler.requests) == 1


def test_the_name_of_a_deleted_task_stays_taken(client: Client, queue: str) -> None:
    task = client.create_task(parent=queue, task=work(name=f"{queue}/tasks/once", schedule_time=later()))
    client.delete_task(name=task.name)
    with pytest.raises(exceptions.NotFound):
        client.get_task(name=task.name)
    with pytest.raises(exceptions.AlreadyExists):
        client.create_task(parent=queue, task=work(name=task.name))


def test_the_same_name_in_another_queue_is_another_task(start_server: StartServer, handler: Handler) -> None:
    from tests.tasks.conftest import QUICK

    server = start_server(queues={"a": QUICK, "b": QUICK})
    with client_of(server.address) as client:
        for queue_id in ("a", "b"):
            parent = f"{server.location_name}/queues/{queue_id}"
            client.create_task(parent=parent, task=work(name=f"{parent}/tasks/once"))
    server.wait_idle()
    assert sorted(request.headers["x-appengine-queuename"] for request in handler.requests) == ["a", "b"]


def test_a_finished_task_is_not_found(client: Client, queue: str, server: TasksServer) -> None:
    task = client.create_task(parent=queue, task=work())
    server.wait_idle()
    for call in (client.get_task, client.delete_task, client.run_task):
        with pytest.raises(exceptions.NotFound):
            call(name=task.name)


def test_a_failing_task_tells_its_attempts(client: Client, queue: str, handler: Handler) -> None:
    handler.statuses = [500]
    slow = {"retry_config": {"min_backoff": duration_pb2.Duration(seconds=600), "max_attempts": 5}}
    created = client.create_task(parent=queue, task=work(**slow))
    wait_until(lambda: client.get_task(name=created.name).response_count == 1)
    task = client.get_task(name=created.name)
    assert task.dispatch_count == 1
    assert task.first_attempt.dispatch_time == task.last_attempt.dispatch_time
    assert not task.first_attempt.response_time
    assert task.last_attempt.response_status.message == "INTERNAL(13): HTTP status code 500"
    assert task.last_attempt.response_status.code == 13
    assert task.last_attempt.schedule_time <= task.last_attempt.dispatch_time
    wait = task.schedule_time - task.last_attempt.response_time
    assert wait.total_seconds() == 600


def test_tasks_are_listed_in_pages(client: Client, queue: str) -> None:
    names = [client.create_task(parent=queue, task=work(schedule_time=later())).name for _ in range(5)]
    first = next(client.list_tasks(request={"parent": queue, "page_size": 2}).pages)
    assert len(first.tasks) == 2
    assert first.next_page_token
    # What goes between two pages shifts none of the others.
    client.delete_task(name=names[0])
    rest = client.list_tasks(request={"parent": queue, "page_token": first.next_page_token})
    assert [task.name for task in rest] == names[2:]
    assert [task.name for task in client.list_tasks(request={"parent": queue, "page_size": 1})] == names[1:]


def test_a_list_of_tasks_has_no_bodies_unless_one_asks_for_them(client: Client, queue: str) -> None:
    client.create_task(parent=queue, task=work(schedule_time=later()))
    (basic,) = client.list_tasks(parent=queue)
    assert basic.app_engine_http_request.body == b""
    (full,) = client.list_tasks(request={"parent": queue, "response_view": FULL})
    assert full.app_engine_http_request.body == b"payload"


@pytest.mark.parametrize(
    "token",
    [
        "rubbish",
        "W10=",
        "WyJ4IiwgMSwgMV0=",
        ["QUEUE", [], 10**20],
        ["QUEUE", "1", 10**20],
        ["QUEUE", 1, 1e999],
    ],
)
def test_a_page_token_of_ones_own_is_refused(client: Client, queue: str, token: str | list[Any]) -> None:
    if isinstance(token, list):
        token = base64.urlsafe_b64encode(json.dumps([queue, *token[1:]]).encode()).decode()
    with pytest.raises(exceptions.InvalidArgument, match="page_token"):
        list(client.list_tasks(request={"parent": queue, "page_token": token}))


def test_run_task_attempts_now_and_answers_before_the_handler_does(
    client: Client, queue: str, handler: Handler, server: TasksServer
) -> None:
    client.pause_queue(name=queue)
    task = client.create_task(parent=queue, task=work(schedule_time=later()))
    ran = client.run_task(name=task.name)
    assert ran.dispatch_count == 1
    assert ran.response_count == 0
    server.wait_idle()
    assert len(handler.requests) == 1


def test_a_queue_that_does_not_exist_is_named_with_those_that_do(client: Client, server: TasksServer) -> None:
    missing = f"{server.location_name}/queues/missing"
    with pytest.raises(exceptions.NotFound, match=r"Queue does not exist: .*missing.* There are: default, q"):
        client.create_task(parent=missing, task=work())
    with pytest.raises(exceptions.NotFound, match="There are queues in: projects/local-project/"):
        client.get_queue(name="projects/other/locations/us-central1/queues/q")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"app_engine_http_request": None}, "missing"),
        ({"name": "once"}, "malformed"),
        ({"name": "projects/p/locations/l/queues/other/tasks/once"}, "must start with the name of its queue"),
        ({"name": "{queue}/tasks/not allowed"}, "malformed"),
        ({"name": "{queue}/tasks/new\nline"}, "malformed"),
        ({"name": "{queue}/tasks/" + "x" * 501}, "malformed"),
        ({"app_engine_http_request": {"relative_uri": "work"}}, "relative_uri"),
        ({"app_engine_http_request": {"relative_uri": "/with space"}}, "relative_uri"),
        ({"app_engine_http_request": {"relative_uri": "/a\r\nX-Evil: 1"}}, "relative_uri"),
        ({"app_engine_http_request": {"relative_uri": "/grün"}}, "relative_uri"),
        ({"app_engine_http_request": {"relative_uri": "/" + "x" * 2083}}, "2,083"),
        ({"app_engine_http_request": {"http_method": "GET", "body": b"x"}}, "body"),
        ({"app_engine_http_request": {"http_method": "PATCH", "body": b"x"}}, "body"),
        ({"app_engine_http_request": {"headers": {"a b": "c"}}}, "name"),
        ({"app_engine_http_request": {"headers": {"a": "b\r\nc: d"}}}, "control character"),
        ({"app_engine_http_request": {"headers": {"A": "1", "a": "2"}}}, "twice"),
        ({"app_engine_http_request": {"body": b"x" * 1_048_576}}, "too large"),
        ({"schedule_time": later(31 * 24 * 3600)}, "30 days"),
        ({"dispatch_deadline": duration_pb2.Duration(seconds=14)}, "15 s to 86,415 s"),
        ({"dispatch_deadline": duration_pb2.Duration(seconds=86_416)}, "15 s to 86,415 s"),
        ({"retry_config": {"max_attempts": -2}}, "max_attempts"),
        (
            {
                "retry_config": {
                    "min_backoff": duration_pb2.Duration(seconds=9),
                    "max_backoff": duration_pb2.Duration(seconds=1),
                }
            },
            "above max_backoff",
        ),
        ({"http_request": {"url": "ftp://host/"}}, "url"),
        ({"http_request": {"url": "http://"}}, "url"),
        ({"http_request": {"url": "http://host:99999/"}}, "url"),
        ({"http_request": {"url": "http://host/" + "x" * 2083}}, "2,083"),
        ({"http_request": {"url": "http://host/", "http_method": "DELETE", "body": b"x"}}, "body"),
        (
            {
                "http_request": {"url": "http://host/"},
                "dispatch_deadline": duration_pb2.Duration(seconds=1801),
            },
            "15 s to 1,800 s",
        ),
        ({"http_request": {"url": "http://h/", "headers": {"a": "x" * 81_920}}}, "headers take"),
    ],
)
def test_a_task_that_cannot_be_is_refused_with_the_reason(
    client: Client, queue: str, change: dict[str, Any], message: str
) -> None:
    task = {**work(), **change}
    if "http_request" in change:
        del task["app_engine_http_request"]
    if "name" in task:
        task["name"] = task["name"].replace("{queue}", queue)
    with pytest.raises(exceptions.InvalidArgument, match=message):
        client.create_task(parent=queue, task=task)


@pytest.mark.parametrize("parent", ["", "q", "projects/p/locations/l/queues/a_b", "projects/p/locations/l"])
def test_a_malformed_queue_name_is_refused(client: Client, parent: str) -> None:
    with pytest.raises(exceptions.InvalidArgument, match="malformed"):
        client.create_task(parent=parent, task=work())
    with pytest.raises(exceptions.InvalidArgument, match="malformed"):
        client.get_queue(name=parent)
