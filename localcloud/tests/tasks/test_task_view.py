"""How a task is shown: the same as recorded from the real service (conformance tests of
aertje/cloud-tasks-emulator), in both views, however often it is asked for."""

from __future__ import annotations

from typing import Any

import pytest
from google.api_core import exceptions
from google.cloud import tasks_v2
from localcloud.tasks import TasksServer

from tests.tasks.harness import Client, Handler

FULL, BASIC = tasks_v2.Task.View.FULL, tasks_v2.Task.View.BASIC
BODY = b'{"hello":"world"}'
OF_APP_ENGINE = {
    "User-Agent": "AppEngine-Google; (+http://code.google.com/appengine)",
    "Content-Length": "17",
}
OF_HTTP = {"User-Agent": "Google-Cloud-Tasks"}


@pytest.fixture(autouse=True)
def paused(client: Client, queue: str) -> None:
    client.pause_queue(name=queue)


def told(client: Client, queue: str, kind: str, **request: Any) -> list[Any]:
    """The request of a new task as CreateTask, GetTask (FULL, BASIC), ListTasks and RunTask tell it."""
    created = client.create_task(request={"parent": queue, "task": {kind: request}, "response_view": FULL})
    tasks = [
        created,
        client.get_task(request={"name": created.name, "response_view": FULL}),
        client.get_task(request={"name": created.name, "response_view": BASIC}),
        *client.list_tasks(parent=queue),
    ]
    assert [task.view for task in tasks] == [FULL, FULL, BASIC, BASIC]
    requests = [getattr(task, kind) for task in tasks]
    assert [shown.body for shown in requests] == [request.get("body", b"")] * 2 + [b""] * 2
    return requests


@pytest.mark.parametrize(
    ("sent", "added"),
    [
        ({"content-type": "application/json", "X-Mixed-Case": "preserve-me"}, {}),
        ({"X-Mixed-Case": "preserve-me"}, {"Content-Type": "application/octet-stream"}),
    ],
)
def test_an_app_engine_task_is_told_with_the_headers_that_it_will_have(
    client: Client, queue: str, sent: dict[str, str], added: dict[str, str]
) -> None:
    for request in told(client, queue, "app_engine_http_request", headers=sent, body=BODY):
        assert dict(request.headers) == {**sent, **OF_APP_ENGINE, **added}


def test_an_http_task_is_told_with_the_services_user_agent_and_no_other_default(
    client: Client, queue: str
) -> None:
    sent = {"X-Mixed-Case": "preserve-me", "user-agent": "mine"}
    for request in told(client, queue, "http_request", url="http://h/", headers=sent, body=BODY):
        assert dict(request.headers) == {"X-Mixed-Case": "preserve-me", **OF_HTTP}


def test_what_a_creator_leaves_out_is_told_as_its_default(client: Client, queue: str) -> None:
    for request in told(client, queue, "app_engine_http_request"):
        assert (request.http_method.name, request.relative_uri) == ("POST", "/")
        assert request.app_engine_routing.host == "local-project.appspot.com"
        assert "Content-Length" not in request.headers
    client.purge_queue(name=queue)
    for request in told(client, queue, "http_request", url="http://h/"):
        assert request.http_method.name == "POST"


def test_only_an_http_task_is_told_a_default_deadline(client: Client, queue: str) -> None:
    http = client.create_task(parent=queue, task={"http_request": {"url": "http://h/"}})
    app_engine = client.create_task(parent=queue, task={"app_engine_http_request": {}})
    assert http.dispatch_deadline.total_seconds() == 600
    assert "dispatch_deadline" not in app_engine


def test_the_host_of_a_task_is_made_from_its_routing_whatever_its_creator_says(
    client: Client, queue: str
) -> None:
    routing = {"service": "worker", "host": "elsewhere.example"}
    for request in told(client, queue, "app_engine_http_request", app_engine_routing=routing):
        assert request.app_engine_routing.service == "worker"
        assert request.app_engine_routing.host == "worker.local-project.appspot.com"


def test_what_is_told_and_what_is_delivered_have_the_same_headers(
    client: Client, queue: str, server: TasksServer, handler: Handler
) -> None:
    sent = {"User-Agent": "Mine/1", "X-AppEngine-TaskName": "forged"}
    request, *_ = told(client, queue, "app_engine_http_request", headers=sent, body=BODY)
    client.resume_queue(name=queue)
    server.wait_idle()
    assert "X-AppEngine-TaskName" not in request.headers
    for name, value in request.headers.items():
        assert handler.requests[0].headers[name.lower()] == value


def test_a_task_that_is_gone_is_told_apart_from_one_that_never_was(client: Client, queue: str) -> None:
    name = f"{queue}/tasks/once"
    client.create_task(parent=queue, task={"name": name, "app_engine_http_request": {}})
    client.delete_task(name=name)
    with pytest.raises(exceptions.NotFound, match="a task with this name existed recently"):
        client.get_task(name=name)
    with pytest.raises(exceptions.NotFound, match="Requested entity was not found"):
        client.get_task(name=f"{queue}/tasks/never")
