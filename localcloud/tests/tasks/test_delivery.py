"""What a handler gets: the request, its headers, whose they are, and which service it reaches."""

from __future__ import annotations

import base64
import itertools
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import duration_pb2
from localcloud.tasks import TasksServer
from localcloud.tasks.queue_config import QueueConfig, Routing

from tests.tasks.conftest import QUICK, StartServer
from tests.tasks.harness import Client, Handler, Request, client_of

AGENT = "AppEngine-Google; (+http://code.google.com/appengine)"


@pytest.fixture
def other_handler() -> Iterator[Handler]:
    handler = Handler()
    handler.start()
    yield handler
    handler.close()


def deliver(client: Client, server: TasksServer, queue: str, handler: Handler, **task: Any) -> Request:
    """Create a task, and return the last request that it led to."""
    client.create_task(parent=queue, task=task)
    server.wait_idle()
    return handler.requests[-1]


def app_engine(**request: Any) -> dict[str, Any]:
    return {"app_engine_http_request": request}


def test_a_task_arrives_with_its_method_path_query_headers_and_body(
    client: Client, server: TasksServer, queue: str, handler: Handler
) -> None:
    got = deliver(
        client,
        server,
        queue,
        handler,
        **app_engine(
            http_method="PUT",
            relative_uri="/update-counter?counter=a%20b&amount=1",
            headers={"Content-Type": "text/plain", "X-Mine": "yes, mine"},
            body=b"\x00bytes\xff",
        ),
    )
    assert (got.method, got.path) == ("PUT", "/update-counter?counter=a%20b&amount=1")
    assert got.body == b"\x00bytes\xff"
    assert got.headers["content-type"] == "text/plain"
    assert got.headers["x-mine"] == "yes, mine"


def test_what_a_task_leaves_out_has_the_documented_defaults(
    client: Client, server: TasksServer, queue: str, handler: Handler
) -> None:
    got = deliver(client, server, queue, handler, **app_engine(body=b"x"))
    assert (got.method, got.path) == ("POST", "/")
    assert got.headers["content-type"] == "application/octet-stream"
    assert got.headers["user-agent"] == AGENT
    got = deliver(client, server, queue, handler, **app_engine(http_method="GET"))
    assert (got.method, got.body) == ("GET", b"")
    assert "content-type" not in got.headers


@pytest.mark.parametrize("method", ["POST", "GET", "HEAD", "PUT", "DELETE", "PATCH", "OPTIONS"])
def test_every_method_is_delivered(
    client: Client, server: TasksServer, queue: str, handler: Handler, method: str
) -> None:
    assert deliver(client, server, queue, handler, **app_engine(http_method=method)).method == method


def test_a_user_agent_of_ones_own_gets_the_default_appended(
    client: Client, server: TasksServer, queue: str, handler: Handler
) -> None:
    got = deliver(client, server, queue, handler, **app_engine(headers={"user-AGENT": "Mine/1"}))
    assert got.headers["user-agent"] == f"Mine/1 {AGENT}"


def test_the_task_headers_of_first_and_later_attempts(
    client: Client, server: TasksServer, queue: str, handler: Handler
) -> None:
    handler.statuses = [500, 404]
    task = client.create_task(parent=queue, task={"name": f"{queue}/tasks/once", **app_engine()})
    server.wait_idle()
    told = [
        {
            name.removeprefix("x-appengine-"): value
            for name, value in request.headers.items()
            if name.startswith("x-appengine-task") or name == "x-appengine-queuename"
        }
        for request in handler.requests
    ]
    etas = [float(headers.pop("tasketa")) for headers in told]
    assert etas[0] == pytest.approx(task.schedule_time.timestamp(), abs=1e-6)
    assert etas == sorted(etas)
    assert etas[0] < etas[1] < etas[2]
    common = {"queuename": "q", "taskname": "once"}
    assert told == [
        {**common, "taskretrycount": "0", "taskexecutioncount": "0"},
        {
            **common,
            "taskretrycount": "1",
            "taskexecutioncount": "1",
            "taskpreviousresponse": "500",
            "taskretryreason": "App Error",
        },
        {
            **common,
            "taskretrycount": "2",
            "taskexecutioncount": "2",
            "taskpreviousresponse": "404",
            "taskretryreason": "App Error",
        },
    ]


def test_tasks_come_from_the_queues_address_as_plain_http(
    client: Client, server: TasksServer, queue: str, handler: Handler
) -> None:
    got = deliver(client, server, queue, handler, **app_engine())
    assert got.headers["host"] == handler.url.replace("http://127.0.0.1", "localhost")
    assert got.headers["x-appengine-user-ip"] == "0.1.0.2"
    assert got.headers["x-forwarded-for"] == "0.1.0.2"
    assert got.headers["x-forwarded-proto"] == "http"
    assert got.headers["x-appengine-https"] == "off"
    assert got.headers["x-appengine-country"] == "ZZ"
    assert got.headers["x-appengine-timeout-ms"] == "600000"
    assert len(got.headers["x-appengine-request-log-id"]) == 32


def test_nothing_that_a_creator_forges_gets_through(
    client: Client, server: TasksServer, queue: str, handler: Handler
) -> None:
    forged = {
        "X-AppEngine-TaskName": "forged",
        "x-appengine-queuename": "forged",
        "X_AppEngine_TaskRetryCount": "forged",
        "X-AppEngine_TaskETA": "forged",
        "X-AppEngine-User-IP": "forged",
        "X-AppEngine-User-Is-Admin": "forged",
        "X-AppEngine-Anything": "forged",
        "X-Google-Anything": "forged",
        "X-CloudTasks-TaskName": "forged",
        "Host": "forged",
        "Content-Length": "999",
        "Transfer-Encoding": "chunked",
        "Connection": "forged",
        "X-Forwarded-For": "forged",
        "X-Forwarded-SSL": "forged",
        "X-Forwarded-Protocol": "forged",
        "X-Real-IP": "forged",
        "SCRIPT_NAME": "forged",
        "PATH_INFO": "forged",
        "X_Mine": "forged",
    }
    got = deliver(client, server, queue, handler, **app_engine(headers=forged, body=b"x"))
    assert "forged" not in got.headers.values()
    assert got.body == b"x"
    assert got.headers["content-length"] == "1"
    assert not [name for name in got.headers if "_" in name]


def test_a_non_ascii_header_value_arrives_as_utf_8(
    client: Client, server: TasksServer, queue: str, handler: Handler
) -> None:
    got = deliver(client, server, queue, handler, **app_engine(headers={"X-Mine": "grün"}))
    assert got.headers["x-mine"].encode("latin-1").decode() == "grün"


@pytest.mark.parametrize("status", [200, 201, 204, 299])
def test_any_2xx_is_success(
    client: Client, server: TasksServer, queue: str, handler: Handler, status: int
) -> None:
    handler.statuses = [status]
    deliver(client, server, queue, handler, **app_engine())
    assert len(handler.requests) == 1


@pytest.mark.parametrize("status", [302, 304, 400, 404, 429, 500, 503])
def test_anything_else_is_a_failure_and_redirects_are_not_followed(
    client: Client, server: TasksServer, queue: str, handler: Handler, status: int
) -> None:
    handler.statuses = [status]
    got = deliver(client, server, queue, handler, **app_engine(relative_uri="/work"))
    assert len(handler.requests) == 2
    assert got.path == "/work"
    assert got.headers["x-appengine-taskpreviousresponse"] == str(status)


def test_an_http_task_goes_to_its_url_with_its_own_headers(
    client: Client, server: TasksServer, queue: str, handler: Handler
) -> None:
    handler.statuses = [500]
    forged = {"User-Agent": "forged", "X-CloudTasks-TaskName": "forged", "X-AppEngine-TaskName": "forged"}
    request = {"url": f"{handler.url}/hook?a=1", "body": b"{}", "headers": {**forged, "X-Mine": "1"}}
    got = deliver(client, server, queue, handler, http_request=request)
    assert (got.method, got.path, got.body) == ("POST", "/hook?a=1", b"{}")
    assert got.headers["user-agent"] == "Google-Cloud-Tasks"
    assert got.headers["x-cloudtasks-queuename"] == "q"
    assert got.headers["x-cloudtasks-taskretrycount"] == "1"
    assert got.headers["x-cloudtasks-taskexecutioncount"] == "0"
    assert got.headers["x-cloudtasks-taskpreviousresponse"] == "500"
    assert got.headers["x-cloudtasks-taskretryreason"] == ""
    assert got.headers["x-mine"] == "1"
    assert "content-type" not in got.headers
    assert "forged" not in got.headers.values()
    assert not [name for name in got.headers if name.startswith("x-appengine-")]


@pytest.mark.parametrize(
    ("kind", "executions", "reason"),
    [
        # As recorded from the service itself, by the conformance tests of aertje/cloud-tasks-emulator.
        ("app_engine_http_request", [0, 1, 2, 3, 4, 5], "App Error"),
        ("http_request", [0, 0, 1, 2, 2, 3], ""),
    ],
)
def test_each_kind_of_target_is_told_of_earlier_attempts_in_its_own_way(
    client: Client,
    server: TasksServer,
    queue: str,
    handler: Handler,
    kind: str,
    executions: list[int],
    reason: str,
) -> None:
    statuses = [503, 404, 429, 500, 302]
    handler.statuses = list(statuses)
    deliver(client, server, queue, handler, **{kind: {} if reason else {"url": handler.url}})

    def told(name: str) -> list[str | None]:
        prefix = "x-appengine" if reason else "x-cloudtasks"
        return [request.headers.get(f"{prefix}-task{name}") for request in handler.requests]

    assert told("retrycount") == ["0", "1", "2", "3", "4", "5"]
    assert told("executioncount") == [str(count) for count in executions]
    assert told("previousresponse") == [None, *map(str, statuses)]
    assert told("retryreason") == [None] + [reason] * 5


def test_an_http_task_carries_the_token_that_it_asks_for(
    client: Client, server: TasksServer, queue: str, handler: Handler
) -> None:
    oidc = {"service_account_email": "me@example.com", "audience": "https://me"}
    got = deliver(client, server, queue, handler, http_request={"url": handler.url, "oidc_token": oidc})
    kind, _, token = got.headers["authorization"].partition(" ")
    claims = json.loads(base64.urlsafe_b64decode(token.split(".")[1] + "=="))
    assert kind == "Bearer"
    assert (claims["aud"], claims["email"]) == ("https://me", "me@example.com")
    oauth = {"service_account_email": "me@example.com"}
    got = deliver(client, server, queue, handler, http_request={"url": handler.url, "oauth_token": oauth})
    assert got.headers["authorization"].endswith("me@example.com")


def test_a_queues_http_target_overrides_its_http_tasks_and_no_others(
    client: Client, server: TasksServer, handler: Handler
) -> None:
    host, _, port = handler.url.removeprefix("http://").partition(":")
    name = f"{server.location_name}/queues/overriding"
    target = {
        "uri_override": {
            "scheme": "HTTP",
            "host": host,
            "port": int(port),
            "path_override": {"path": "/elsewhere"},
            "query_override": {"query_params": "b=2"},
        },
        "http_method": "PUT",
        "header_overrides": [{"header": {"key": "X-Mine", "value": "the queue's"}}],
    }
    client.create_queue(parent=server.location_name, queue={"name": name, "http_target": target})
    request = {"url": "https://nowhere.invalid/here?a=1", "headers": {"x-mine": "the task's"}, "body": b"x"}
    got = deliver(client, server, name, handler, http_request=request)
    assert (got.method, got.path, got.body) == ("PUT", "/elsewhere?b=2", b"x")
    assert got.headers["x-mine"] == "the queue's"
    assert deliver(client, server, name, handler, **app_engine(relative_uri="/w")).path == "/w"


def test_an_override_that_only_fills_gaps_leaves_what_the_task_says(
    client: Client, server: TasksServer, handler: Handler
) -> None:
    name = f"{server.location_name}/queues/filling"
    override = {
        "uri_override_enforce_mode": "IF_NOT_EXISTS",
        "host": "nowhere.invalid",
        "path_override": {"path": "/filled"},
    }
    client.create_queue(
        parent=server.location_name, queue={"name": name, "http_target": {"uri_override": override}}
    )
    assert deliver(client, server, name, handler, http_request={"url": f"{handler.url}/own"}).path == "/own"
    assert deliver(client, server, name, handler, http_request={"url": handler.url}).path == "/filled"


def test_a_queues_target_beats_the_tasks_and_without_either_the_default_service_gets_it(
    start_server: StartServer, handler: Handler, other_handler: Handler
) -> None:
    to_worker = QueueConfig(retry=QUICK.retry, routing=Routing(service="worker"))
    server = start_server(
        queues={"q": QUICK, "for-worker": to_worker},
        targets=[f"default={other_handler.url}", f"worker={handler.url}"],
    )
    q, for_worker = (f"{server.location_name}/queues/{name}" for name in ("q", "for-worker"))
    routing = {"app_engine_routing": {"service": "default"}}
    with client_of(server.address) as client:
        deliver(client, server, for_worker, handler, **app_engine(relative_uri="/1", **routing))
        deliver(client, server, q, other_handler, **app_engine(relative_uri="/2"))
        routing["app_engine_routing"]["service"] = "worker"
        deliver(client, server, q, handler, **app_engine(relative_uri="/3", **routing))
    assert [request.path for request in handler.requests] == ["/1", "/3"]
    assert [request.path for request in other_handler.requests] == ["/2"]


def test_without_any_target_the_attempt_fails_and_the_log_says_why(start_server: StartServer) -> None:
    lines: list[str] = []
    server = start_server(targets=[], write_log=lines.append)
    with client_of(server.address) as client:
        client.create_task(
            parent=f"{server.location_name}/queues/q",
            task={**app_engine(), "retry_config": {"max_attempts": 1}},
        )
    (given_up,) = server.wait_idle()
    assert "there is no target for the service 'default'" in lines[0]
    assert lines[0] == f"{given_up}; GIVEN UP, the task is deleted"
    assert server.wait_idle() == []


def test_instances_share_the_work_the_least_busy_first(
    start_server: StartServer, handler: Handler, other_handler: Handler
) -> None:
    server = start_server(targets=[f"default={handler.url},{other_handler.url}"])
    queue = f"{server.location_name}/queues/q"
    released = threading.Event()
    handler.before_answer = other_handler.before_answer = lambda: released.wait(20)
    with client_of(server.address) as client:
        for _ in range(6):
            client.create_task(parent=queue, task=app_engine())
    for instance in (handler, other_handler):
        instance.wait_for(3)
    released.set()
    server.wait_idle()
    assert (len(handler.requests), len(other_handler.requests)) == (3, 3)


APP = """\
runtime: python313
service: worker
handlers:
- url: /static
  static_dir: static
- url: /private
  script: auto
  login: required
- url: /private-api
  script: auto
  login: required
  auth_fail_action: unauthorized
- url: /admin
  script: auto
  login: admin
"""


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/private", "302"),
        ("/priv%61te", "302"),
        ("/private-api", "401"),
        ("/static/a.css", "405"),
        ("/admin", None),
        ("/anything-else", "404"),
    ],
)
def test_the_handlers_of_app_yaml_apply_to_tasks(
    start_server: StartServer, handler: Handler, tmp_path: Path, path: str, status: str | None
) -> None:
    (tmp_path / "worker.yaml").write_text(APP)
    (tmp_path / "queue.yaml").write_text("queue:\n- name: q\n  rate: 5/s\n  target: worker\n")
    lines: list[str] = []
    server = start_server(
        queues=tmp_path / "queue.yaml",
        apps=[tmp_path / "worker.yaml"],
        targets=[f"worker={handler.url}"],
        write_log=lines.append,
    )
    with client_of(server.address) as client:
        task = {**app_engine(relative_uri=path), "retry_config": {"max_attempts": 1}}
        client.create_task(parent=f"{server.location_name}/queues/q", task=task)
    server.wait_idle()
    if status is None:
        assert [request.path for request in handler.requests] == [path]
    else:
        assert handler.requests == []
        assert f"status {status}" in lines[0]


def test_a_service_scaled_by_hand_is_told_to_fail_fast(
    start_server: StartServer, handler: Handler, tmp_path: Path
) -> None:
    (tmp_path / "app.yaml").write_text("runtime: python313\nbasic_scaling:\n  max_instances: 1\n")
    (tmp_path / "queue.yaml").write_text("queue:\n- name: q\n  rate: 5/s\n")
    server = start_server(
        queues=tmp_path / "queue.yaml", apps=[tmp_path / "app.yaml"], targets=[f"default={handler.url}"]
    )
    with client_of(server.address) as client:
        got = deliver(client, server, f"{server.location_name}/queues/q", handler, **app_engine())
    assert got.headers["x-appengine-failfast"] == "true"


def test_a_deadline_of_ones_own_is_accepted(
    client: Client, server: TasksServer, queue: str, handler: Handler
) -> None:
    deadline = duration_pb2.Duration(seconds=15, nanos=1_500_000)
    task = client.create_task(parent=queue, task={**app_engine(), "dispatch_deadline": deadline})
    assert task.dispatch_deadline.total_seconds() == 15.001


def test_the_real_loop_keeps_the_same_times_as_the_virtual_one(
    client: Client, server: TasksServer, queue: str, handler: Handler
) -> None:
    handler.statuses = [500, 500, 500]
    client.create_task(parent=queue, task=app_engine())
    server.wait_idle()
    etas = [float(request.headers["x-appengine-tasketa"]) for request in handler.requests]
    gaps_ms = [(after - before) * 1000 for before, after in itertools.pairwise(etas)]
    for gap_ms, delay_ms in zip(gaps_ms, [10, 20, 40], strict=True):
        # Each ETA is the failure's time plus the delay; the failure comes a little after the ETA before.
        assert delay_ms <= gap_ms < delay_ms + 250


def test_a_busy_queue_does_not_starve_another(start_server: StartServer, handler: Handler) -> None:
    busy = QueueConfig(rate_per_second=500, burst=500, max_concurrent=20)
    server = start_server(queues={"busy": busy, "q": QUICK})
    with client_of(server.address) as client:
        parent = f"{server.location_name}/queues/busy"
        client.pause_queue(name=parent)
        for _ in range(5):
            client.batch_create_tasks(
                parent=parent, requests=[{"parent": parent, "task": app_engine()} for _ in range(100)]
            )
        client.resume_queue(name=parent)
        client.create_task(parent=f"{server.location_name}/queues/q", task=app_engine())
    server.wait_idle()
    order = [request.headers["x-appengine-queuename"] for request in handler.requests]
    assert len(order) == 501
    assert order.index("q") < 400
