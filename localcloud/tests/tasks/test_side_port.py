"""The side port: counts, waiting until idle, delivering again, faults; and the log."""

from __future__ import annotations

import http.client
import json
import threading
from typing import Any

import pytest
from localcloud.tasks import TasksServer
from localcloud.tasks.faults import FaultPlan, FaultySender, fault_plan
from localcloud.tasks.queue_config import QueueConfig
from localcloud.tasks.retry import RetryPolicy

from tests.tasks.conftest import StartServer
from tests.tasks.harness import Client, Handler, client_of
from tests.tasks.virtual import OK, World

WORK: dict[str, Any] = {"app_engine_http_request": {"relative_uri": "/work", "body": b"x"}}


def ask(server: TasksServer, method: str, path: str, body: object = None) -> tuple[int, Any]:
    """Status and answer of a request to the side port."""
    connection = http.client.HTTPConnection(server.http_address, timeout=20)
    try:
        connection.request(method, path, None if body is None else json.dumps(body))
        response = connection.getresponse()
        text = response.read().decode()
        is_json = response.headers.get_content_type() == "application/json"
        return response.status, json.loads(text) if is_json else text
    finally:
        connection.close()


def test_it_says_that_it_is_alive(server: TasksServer) -> None:
    assert ask(server, "GET", "/") == (200, "Ok\n")


def test_it_counts_calls_deliveries_and_billed_operations(
    client: Client, server: TasksServer, queue: str, handler: Handler
) -> None:
    handler.statuses = [500]
    client.create_task(parent=queue, task=WORK)
    server.wait_idle()
    client.pause_queue(name=queue)
    client.batch_create_tasks(parent=queue, requests=[{"parent": queue, "task": WORK}] * 25)
    list(client.list_tasks(parent=queue))
    big = {"app_engine_http_request": {"body": b"x" * 70_000}}
    client.create_task(parent=queue, task=big)
    _, counts = ask(server, "GET", "/counts")
    assert counts["rpcs"] == {"CreateTask": 2, "PauseQueue": 1, "BatchCreateTasks": 1, "ListTasks": 1}
    assert counts["deliveries"] == {"failure": 1, "success": 1}
    # A creation and two attempts; a pause; 25 created, 25 listed; 70 KB are three times 32.
    assert counts["operations"] == 3 + 1 + 25 + 25 + 3


def test_idle_waits_for_what_is_pending_and_for_what_is_under_way(
    client: Client, server: TasksServer, queue: str, handler: Handler
) -> None:
    assert ask(server, "GET", "/idle?timeout=0")[0] == 200
    released = threading.Event()
    handler.before_answer = lambda: released.wait(20)
    client.create_task(parent=queue, task=WORK)
    handler.wait_for(1)
    assert ask(server, "GET", "/idle?timeout=0.05")[0] == 408
    assert ask(server, "GET", "/idle?timeout=0.05&queue=default")[0] == 200
    client.purge_queue(name=queue)
    assert ask(server, "GET", "/idle?timeout=0.05&queue=q")[0] == 408
    released.set()
    assert ask(server, "GET", "/idle?timeout=10")[0] == 200


@pytest.mark.parametrize("query", ["timeout=soon", "timeout=-1", "timeout=nan", "timeout=1e9"])
def test_idle_refuses_a_timeout_that_is_none(server: TasksServer, query: str) -> None:
    assert ask(server, "GET", f"/idle?{query}")[0] == 400


def test_idle_for_a_missing_queue_is_not_found(server: TasksServer) -> None:
    assert ask(server, "GET", "/idle?queue=missing")[0] == 404


def test_a_finished_task_is_delivered_again_with_the_same_name(
    client: Client, server: TasksServer, queue: str, handler: Handler
) -> None:
    handler.statuses = [200, 404]
    client.create_task(parent=queue, task={"name": f"{queue}/tasks/once", **WORK})
    server.wait_idle()
    status, answer = ask(server, "POST", "/redeliver?task=once")
    assert (status, answer["status"], answer["task"]) == (200, 404, f"{queue}/tasks/once")
    first, again = handler.requests
    of_each_request = {"x-cloud-trace-context": "", "x-appengine-request-log-id": ""}
    assert first.body == again.body
    assert {**first.headers, **of_each_request} == {**again.headers, **of_each_request}
    # Nothing follows from the failure.
    server.wait_idle()
    assert len(handler.requests) == 2
    assert server.redeliver() == 200
    assert ask(server, "GET", "/counts")[1]["deliveries"]["redelivered"] == 2


def test_a_task_that_is_not_remembered_is_not_delivered_again(server: TasksServer) -> None:
    assert ask(server, "POST", "/redeliver?task=missing")[0] == 404
    with pytest.raises(LookupError):
        server.redeliver("missing")


def test_faults_are_set_told_and_removed(server: TasksServer) -> None:
    assert ask(server, "GET", "/faults") == (200, None)
    status, plan = ask(server, "POST", "/faults", {"seed": 1, "lose_response": 0.5})
    assert status == 200
    assert plan["lose_response"] == 0.5
    assert plan["duplicate"] == 0
    assert ask(server, "GET", "/faults") == (200, plan)
    assert ask(server, "DELETE", "/faults") == (200, None)
    assert ask(server, "GET", "/faults") == (200, None)


@pytest.mark.parametrize(
    ("plan", "told"),
    [
        ([], "JSON object"),
        ({"lose": 1}, "no fault 'lose'"),
        ({"slow": 2}, "0 to 1"),
        ({"slow": True}, "a number"),
        ({"seed": 0.5}, "whole number"),
        ({"slow_seconds": 9999}, "3600"),
    ],
)
def test_a_plan_of_faults_that_is_none_is_refused(server: TasksServer, plan: object, told: str) -> None:
    status, text = ask(server, "POST", "/faults", plan)
    assert status == 400
    assert told in text
    with pytest.raises(ValueError, match="expected"):
        fault_plan(plan)


def test_a_lost_request_never_arrives_and_the_task_is_retried(
    client: Client, server: TasksServer, queue: str, handler: Handler
) -> None:
    server.set_faults(FaultPlan(lose_request=1))
    task = client.create_task(parent=queue, task=WORK)
    while client.get_task(name=task.name).dispatch_count < 3:
        pass
    assert handler.requests == []
    server.set_faults(None)
    server.wait_idle()
    assert len(handler.requests) == 1
    assert handler.requests[0].headers["x-appengine-taskexecutioncount"] == "0"


def test_a_lost_answer_makes_a_handled_task_come_again(
    client: Client, server: TasksServer, queue: str, handler: Handler
) -> None:
    server.set_faults(FaultPlan(lose_response=1))
    client.create_task(parent=queue, task=WORK)
    handler.wait_for(2)
    server.set_faults(None)
    server.wait_idle()
    assert handler.requests[1].headers["x-appengine-taskretrycount"] == "1"


def test_a_duplicate_comes_twice_for_one_attempt(
    client: Client, server: TasksServer, queue: str, handler: Handler
) -> None:
    server.set_faults(FaultPlan(seed=1, duplicate=1))
    for number in range(8):
        client.create_task(parent=queue, task={"name": f"{queue}/tasks/task-{number}", **WORK})
    server.wait_idle()
    names = [request.task for request in handler.requests]
    assert sorted(names) == sorted([f"task-{number}" for number in range(8)] * 2)
    assert {request.headers["x-appengine-taskretrycount"] for request in handler.requests} == {"0"}


def test_faults_come_in_the_order_that_their_seed_says() -> None:
    def outcomes(seed: int) -> list[int | None]:
        once = QueueConfig(burst=500, retry=RetryPolicy(max_attempts=1))
        world = World(once)
        faults = FaultySender(world.target, world.clock)
        faults.plan = FaultPlan(seed=seed, lose_request=0.3, lose_response=0.3, duplicate=0.2, slow=0.2)
        world.dispatcher._sender = faults
        for _ in range(100):
            world.add()
        world.clock.advance(10)
        return [outcome.status for outcome in world.notes.outcomes]

    assert outcomes(1) == outcomes(1)
    assert outcomes(1) != outcomes(2)
    assert 25 < outcomes(1).count(None) < 75


def test_a_slow_delivery_is_sent_late() -> None:
    world = World(QueueConfig())
    faults = FaultySender(world.target, world.clock)
    faults.plan = FaultPlan(slow=1, slow_seconds=0.25)
    world.dispatcher._sender = faults
    world.add()
    world.clock.advance(1)
    assert world.times_ms() == [250]
    assert world.notes.outcomes == [OK]


def test_the_log_has_a_line_for_each_failure_and_one_for_the_end(
    start_server: StartServer, handler: Handler
) -> None:
    lines: list[str] = []
    handler.statuses = [500, 503]
    server = start_server(write_log=lines.append)
    queue = f"{server.location_name}/queues/q"
    with client_of(server.address) as client:
        client.create_task(
            parent=queue,
            task={"name": f"{queue}/tasks/once", **WORK, "retry_config": {"max_attempts": 2}},
        )
    server.wait_idle()
    assert lines == [
        "q/once attempt 1 failed: status 500; next try in 0.010 s",
        "q now dispatches at most 250/s",
        "q/once attempt 2 failed: status 503; GIVEN UP, the task is deleted",
    ]


def test_successes_are_logged_when_asked_for(start_server: StartServer, handler: Handler) -> None:
    lines: list[str] = []
    server = start_server(write_log=lines.append, verbose=True)
    queue = f"{server.location_name}/queues/q"
    with client_of(server.address) as client:
        client.create_task(parent=queue, task={"name": f"{queue}/tasks/once", **WORK})
    server.wait_idle()
    assert lines == ["q/once attempt 1 200"]


def test_it_tells_the_last_attempts_with_their_answers(
    server: TasksServer, client: Client, handler: Handler
) -> None:
    queue = client.queue_path("local-project", "us-central1", "q")
    handler.statuses = [500, 503]
    client.create_task(parent=queue, task={"name": f"{queue}/tasks/slow", **WORK})
    server.wait_idle()
    client.create_task(parent=queue, task={"name": f"{queue}/tasks/quick", **WORK})
    server.wait_idle()

    def told(query: str) -> list[tuple[str, int, int, str]]:
        attempts = ask(server, "GET", f"/attempts?{query}")[1]
        return [(each["task"], each["number"], each["status"], each["end"]) for each in attempts]

    assert told("task=slow&queue=q") == [
        ("slow", 3, 200, "success"),
        ("slow", 2, 503, "failure"),
        ("slow", 1, 500, "failure"),
    ]
    assert told("failed=1") == [("slow", 2, 503, "failure"), ("slow", 1, 500, "failure")]
    assert told("")[0] == ("quick", 1, 200, "success")
    assert told("queue=other") == []
    first = ask(server, "GET", "/attempts?task=slow")[1][-1]
    assert first["began_us"] <= first["ended_us"] <= first["next_us"]
