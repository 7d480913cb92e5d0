"""Cloud Tasks over HTTP/1.1 and JSON: the same methods and the same refusals as over gRPC."""

from __future__ import annotations

import base64
import http.client
import json
from collections.abc import Callable, Iterator, Mapping
from datetime import timedelta
from typing import Any

import pytest
from google.api_core import exceptions
from google.auth.credentials import AnonymousCredentials
from google.cloud import tasks_v2, tasks_v2beta3
from localcloud.tasks import TasksServer

from tests.tasks.harness import Client, Handler

JSON = {"Content-Type": "application/json"}
Call = Callable[..., tuple[int, Any]]


@pytest.fixture
def call(server: TasksServer) -> Iterator[Call]:
    """Sends a request: status, and the JSON of the answer, or its text."""
    connection = http.client.HTTPConnection(server.http_address, timeout=20)

    def send(
        method: str, path: str, body: object = None, headers: Mapping[str, str] = JSON
    ) -> tuple[int, Any]:
        content = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        connection.request(method, path, content, dict(headers))
        response = connection.getresponse()
        text = response.read().decode()
        is_json = response.headers.get_content_type() == "application/json"
        return response.status, json.loads(text) if is_json else text

    yield send
    connection.close()


def rest_client(server: TasksServer, library: Any = tasks_v2) -> Client:
    """Google's client library over its REST transport."""
    return library.CloudTasksClient(
        transport="rest",
        credentials=AnonymousCredentials(),  # type: ignore[no-untyped-call]
        client_options={"api_endpoint": f"http://{server.http_address}"},
    )


@pytest.fixture
def rest(server: TasksServer) -> Iterator[Client]:
    with rest_client(server) as client:
        yield client


def test_the_official_client_creates_runs_and_deletes_tasks_over_rest(
    rest: Client, server: TasksServer, queue: str, handler: Handler
) -> None:
    rest.pause_queue(name=queue)
    request = {"relative_uri": "/work?x=1", "body": b"\x00\xff", "headers": {"A": "b"}}
    created = rest.create_task(
        request={
            "parent": queue,
            "task": {"name": f"{queue}/tasks/t", "app_engine_http_request": request},
            "response_view": tasks_v2.Task.View.FULL,
        }
    )
    assert created.app_engine_http_request.body == b"\x00\xff"
    with pytest.raises(exceptions.Conflict):
        rest.create_task(parent=queue, task=created)
    assert [task.name for task in rest.list_tasks(parent=queue)] == [created.name]
    assert rest.get_task(name=created.name).view == tasks_v2.Task.View.BASIC
    rest.run_task(name=created.name)
    handler.wait_for(1)
    assert handler.requests[0].body == b"\x00\xff"
    server.wait_idle()
    with pytest.raises(exceptions.NotFound):
        rest.delete_task(name=created.name)


def test_the_official_client_looks_after_queues_over_rest(rest: Client, server: TasksServer) -> None:
    parent = server.location_name
    name = f"{parent}/queues/new"
    rest.create_queue(
        parent=parent, queue={"name": name, "retry_config": {"min_backoff": timedelta(seconds=2.5)}}
    )
    rest.update_queue(
        queue={"name": name, "rate_limits": {"max_dispatches_per_second": 7, "max_concurrent_dispatches": 9}},
        update_mask={"paths": ["rate_limits.max_dispatches_per_second"]},
    )
    found = rest.get_queue(name=name)
    assert found.rate_limits.max_dispatches_per_second == 7
    assert found.rate_limits.max_concurrent_dispatches == 1000
    assert found.retry_config.min_backoff == timedelta(seconds=2.5)
    assert [queue.name for queue in rest.list_queues(parent=parent)][-1] == f"{parent}/queues/q"
    assert rest.pause_queue(name=name).state == tasks_v2.Queue.State.PAUSED
    assert rest.resume_queue(name=name).state == tasks_v2.Queue.State.RUNNING
    assert rest.purge_queue(name=name).purge_time
    rest.delete_queue(name=name)
    with pytest.raises(exceptions.NotFound, match="Queue does not exist"):
        rest.get_queue(name=name)


def test_batches_and_their_operations_are_there_over_rest(rest: Client, queue: str, call: Call) -> None:
    rest.pause_queue(name=queue)
    task = {"http_request": {"url": "http://127.0.0.1:9/"}}
    operation = rest.batch_create_tasks(parent=queue, requests=[{"parent": queue, "task": task}] * 3)
    names = [task.name for task in operation.result().tasks]
    assert len(names) == 3
    assert call("GET", f"/v2/{operation.operation.name}")[1]["done"] is True
    rest.batch_delete_tasks(parent=queue, names=names).result()
    assert list(rest.list_tasks(parent=queue)) == []


def test_v2beta3_over_rest(server: TasksServer) -> None:
    with rest_client(server, tasks_v2beta3) as beta:
        name = f"{server.location_name}/queues/beta"
        created = beta.create_queue(
            parent=server.location_name, queue={"name": name, "task_ttl": timedelta(days=12)}
        )
        assert created.task_ttl == timedelta(days=12)
        assert beta.get_queue(request={"name": name, "read_mask": "stats"}).stats.tasks_count == 0


def test_locations_are_those_with_queues(call: Call, server: TasksServer) -> None:
    _, found = call("GET", "/v2/projects/local-project/locations")
    assert [each["name"] for each in found["locations"]] == [server.location_name]
    assert call("GET", f"/v2/{server.location_name}")[1]["locationId"] == "us-central1"
    assert call("GET", "/v2/projects/local-project/locations/mars-1")[0] == 404


def test_names_come_in_either_spelling_and_parameters_as_field_paths(call: Call, queue: str) -> None:
    call("POST", f"/v2/{queue}:pause", {})
    body = base64.b64encode(b"hi").decode()
    for task in (
        {"app_engine_http_request": {"relative_uri": "/a", "body": body}},
        {"appEngineHttpRequest": {"relativeUri": "/b", "body": body}},
    ):
        status, created = call("POST", f"/v2/{queue}/tasks", {"task": task, "responseView": "FULL"})
        assert (status, created["appEngineHttpRequest"]["body"]) == (200, body)
    _, page = call("GET", f"/v2/{queue}/tasks?pageSize=1&response_view=2&$alt=json;enum-encoding=int")
    assert page["tasks"][0]["view"] == 2
    _, page = call("GET", f"/v2/{queue}/tasks?page_token={page['nextPageToken']}&prettyPrint=false")
    assert [each["appEngineHttpRequest"]["relativeUri"] for each in page["tasks"]] == ["/b"]
    for mask in ("retryConfig.maxAttempts", "retry_config.max_attempts"):
        changes = {"retryConfig": {"maxAttempts": 3, "maxDoublings": 1}}
        _, changed = call("PATCH", f"/v2/{queue}?updateMask={mask}", changes)
        assert (changed["retryConfig"]["maxAttempts"], changed["retryConfig"]["maxDoublings"]) == (3, 16)


@pytest.mark.parametrize(
    ("method", "path", "body", "headers", "status", "words"),
    [
        ("POST", "/v2/{queue}/tasks", b"{", JSON, "INVALID_ARGUMENT", ["not JSON"]),
        ("POST", "/v2/{queue}/tasks", [], JSON, "INVALID_ARGUMENT", ["object"]),
        ("POST", "/v2/{queue}/tasks", {"tusk": 1}, JSON, "INVALID_ARGUMENT", ["CreateTaskRequest", "tusk"]),
        ("POST", "/v2/{queue}/tasks", {"parent": "p"}, JSON, "INVALID_ARGUMENT", ["{queue}", "'p'"]),
        ("POST", "/v2/{queue}/tasks", {}, JSON, "INVALID_ARGUMENT", ["http_request is missing"]),
        (
            "POST",
            "/v2/{queue}/tasks",
            b"x",
            {"Content-Type": "text/plain"},
            "INVALID_ARGUMENT",
            ["text/plain"],
        ),
        (
            "POST",
            "/v2/{queue}/tasks",
            b"x",
            {"Content-Type": "application/x-protobuf"},
            "INVALID_ARGUMENT",
            ["Expected JSON"],
        ),
        ("PATCH", "/v2/{queue}", {"name": "other"}, JSON, "INVALID_ARGUMENT", ["{queue}", "other"]),
        ("PATCH", "/v2/{queue}", b"[1]", JSON, "INVALID_ARGUMENT", ["object"]),
        ("GET", "/v2/{queue}/tasks?size=1", None, {}, "INVALID_ARGUMENT", ["size"]),
        ("GET", "/v2/{queue}/tasks?pageSize=many", None, {}, "INVALID_ARGUMENT", ["ListTasksRequest"]),
        ("GET", "/v2/{queue}?read_mask.paths.x=1", None, {}, "INVALID_ARGUMENT", ["read_mask"]),
        ("GET", "/v2/{queue}-2", None, {}, "NOT_FOUND", ["Queue does not exist"]),
        ("POST", "/v2/{queue}:drop", {}, JSON, "NOT_FOUND", [":drop", "REST reference"]),
        ("GET", "/v2/nothing", None, {}, "NOT_FOUND", ["/v2/nothing"]),
    ],
)
def test_what_cannot_be_done_is_a_status_in_json(
    call: Call,
    queue: str,
    method: str,
    path: str,
    body: object,
    headers: Mapping[str, str],
    status: str,
    words: list[str],
) -> None:
    code, answer = call(method, path.format(queue=queue), body, headers)
    error = answer["error"]
    assert (code, error["status"]) == ({"INVALID_ARGUMENT": 400, "NOT_FOUND": 404}[status], status)
    assert error["code"] == code
    assert all(word.format(queue=queue) in error["message"] for word in words), error


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Origin": "http://evil.example"}, 403),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Host": "evil.example"}, 403),
        ({"Origin": "http://{address}", "Content-Type": "text/plain"}, 403),
        ({"Origin": "http://{address}", "Sec-Fetch-Site": "same-origin"}, 200),
    ],
)
def test_pages_of_other_sites_are_kept_out(
    call: Call, server: TasksServer, queue: str, headers: Mapping[str, str], status: int
) -> None:
    given = {name: value.format(address=server.http_address) for name, value in headers.items()}
    assert call("POST", f"/v2/{queue}:pause", {}, {**JSON, **given})[0] == status


def test_a_task_of_a_mebibyte_comes_in_and_goes_out(call: Call, queue: str, handler: Handler) -> None:
    body = b"x" * 1_000_000
    task = {"appEngineHttpRequest": {"body": base64.b64encode(body).decode()}}
    assert call("POST", f"/v2/{queue}/tasks", {"task": task})[0] == 200
    handler.wait_for(1)
    assert handler.requests[0].body == body


def test_firebase_admin_leaves_out_the_version_and_the_functions_url(call: Call, queue: str) -> None:
    call("POST", f"/v2/{queue}:pause", {})
    task = {"name": f"{queue}/tasks/t", "httpRequest": {"url": "", "body": "aGk="}}
    _, created = call("POST", f"/{queue}/tasks", {"task": task})
    assert created["task"]["name"] == f"/{queue}/tasks/t"
    url = "http://127.0.0.1:5001/local-project/us-central1/q"
    assert call("GET", f"/v2/{queue}/tasks/t")[1]["httpRequest"]["url"] == url
    assert call("POST", f"/{queue}/tasks", {"task": task})[1]["error"]["status"] == "ALREADY_EXISTS"
    assert call("DELETE", f"/{queue}/tasks/t") == (200, {})
