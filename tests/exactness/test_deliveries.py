"""Every increment is counted once: in peace, delivered twice, and with answers lost on every way."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest
from google.cloud import tasks_v2
from google.cloud.tasks_v2.services.cloud_tasks.transports import CloudTasksGrpcTransport

from bench.proof import Sums
from tests.exactness.conftest import Stack


def call(
    url: str, method: str = "GET", headers: dict[str, str] | None = None, body: bytes | None = None
) -> tuple[int, str]:
    """Status and text, whatever the status; redirects are not followed."""

    class Stay(urllib.request.HTTPRedirectHandler):
        def redirect_request(self, *arguments: object) -> None:
            return None

    request = urllib.request.Request(url, data=body, headers=headers or {}, method=method)
    try:
        with urllib.request.build_opener(Stay).open(request, timeout=20) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def enqueue_batch(stack: Stack, amounts: dict[str, int]) -> str:
    """The name of the task that a posted batch became."""
    increments = [{"counter": counter, "amount": amount} for counter, amount in amounts.items()]
    status, text = call(
        f"{stack.cloud.url}/api/increments",
        "POST",
        {"Content-Type": "application/json"},
        json.dumps({"increments": increments}).encode(),
    )
    assert status == 202, text
    return str(json.loads(text)["task"])


def enqueue(stack: Stack, counter: str, amount: int = 1) -> str:
    """The name of the task that a posted increment became."""
    status, text = call(
        f"{stack.cloud.url}/api/counters/{counter}/increments",
        "POST",
        {"Content-Type": "application/json"},
        json.dumps({"amount": amount}).encode(),
    )
    assert status == 202, text
    return str(json.loads(text)["task"])


@pytest.mark.parametrize("batch", [1, 100])
def test_500_increments_over_several_counters_are_exactly_their_sums(stack: Stack, batch: int) -> None:
    counters = stack.counters(5)

    book = stack.send(counters, 500, batch=batch)

    assert book.accepted == 500
    stack.assert_exact(counters, book)
    shown = json.loads(call(f"{stack.cloud.url}/api/counters/{counters[0]}")[1])
    assert shown["value"] == stack.proof.shards(counters[:1]).amount


def test_a_task_delivered_again_at_once_later_and_in_parallel_is_counted_once(stack: Stack) -> None:
    [counter] = stack.counters()
    duplicates = stack.proof.duplicates()
    task = enqueue(stack, counter, 5)
    stack.cloud.wait_idle()

    answers = [stack.cloud.redeliver(task)]
    with ThreadPoolExecutor(10) as pool:
        answers += pool.map(stack.cloud.redeliver, [task] * 10)
    answers.append(stack.cloud.redeliver(task))

    assert Counter(answer["status"] for answer in answers) == {200: 12}
    assert stack.proof.shards([counter]) == Sums(1, 5)
    assert stack.proof.duplicates() == duplicates + 12


def test_a_batch_delivered_again_at_once_later_and_in_parallel_is_counted_once(stack: Stack) -> None:
    counters = stack.counters(400)
    amounts = {counter: number - 200 or 1 for number, counter in enumerate(counters)}
    task = enqueue_batch(stack, amounts)
    stack.cloud.wait_idle()

    with ThreadPoolExecutor(10) as pool:
        answers = list(pool.map(stack.cloud.redeliver, [task] * 10))

    assert Counter(answer["status"] for answer in answers) == {200: 10}
    assert stack.proof.shards(counters, most_shards=4) == Sums(400, sum(amounts.values()))
    assert stack.proof.records([task]) == Sums(400, sum(amounts.values()))


@pytest.mark.parametrize("batch", [1, 20])
def test_deliveries_doubled_by_the_queue_are_counted_once(stack: Stack, batch: int) -> None:
    counters = stack.counters(3)
    duplicates = stack.proof.duplicates()
    stack.cloud.set_faults(deliveries={"seed": 3, "duplicate": 0.5})

    book = stack.send(counters, 200 * batch, batch=batch)

    stack.assert_exact(counters, book)
    assert stack.proof.duplicates() > duplicates + 50


@pytest.mark.parametrize("batch", [1, 20])
def test_answers_lost_after_the_commit_are_recognised_by_the_retry(stack: Stack, batch: int) -> None:
    counters = stack.counters(3)
    duplicates = stack.proof.duplicates()
    stack.cloud.set_faults(deliveries={"seed": 4, "lose_response": 0.3, "lose_request": 0.1})

    book = stack.send(counters, 200 * batch, batch=batch)

    stack.cloud.wait_idle(60)
    stack.assert_exact(counters, book)
    assert stack.proof.duplicates() > duplicates + 20


@pytest.mark.parametrize("batch", [1, 20])
def test_a_commit_whose_answer_is_lost_is_settled_by_its_own_record(stack: Stack, batch: int) -> None:
    counters = stack.counters(2)
    stack.cloud.set_faults(datastore=[{"method": "Commit", "fault": "response_lost", "every": 2}])

    book = stack.send(counters, 150 * batch, batch=batch)

    stack.assert_exact(counters, book)
    [rule] = stack.cloud.fault_report()["datastore"]["rules"]
    assert rule["struck"] >= 2


@pytest.mark.parametrize("batch", [1, 20])
def test_contention_and_lost_requests_delay_but_never_lose_or_double(stack: Stack, batch: int) -> None:
    counters = stack.counters(2)
    stack.cloud.set_faults(
        datastore=[
            {"method": "Commit", "fault": "request_lost", "code": "ABORTED", "probability": 0.3, "seed": 1},
            {"method": "Lookup", "fault": "request_lost", "probability": 0.1, "seed": 2},
            {"method": "BeginTransaction", "fault": "request_lost", "code": "DEADLINE_EXCEEDED", "every": 7},
        ]
    )

    book = stack.send(counters, 150 * batch, batch=batch)
    stack.cloud.clear_faults()

    stack.assert_exact(counters, book)


def test_the_queues_answers_lost_on_the_way_to_the_default_service_change_nothing(stack: Stack) -> None:
    counters = stack.counters(2)
    stack.cloud.set_faults(tasks=[{"method": "CreateTask", "fault": "response_lost", "every": 2}])

    book = stack.send(counters, 100)

    stack.assert_exact(counters, book)


def test_datastore_away_is_answered_503_and_the_task_applied_once_when_it_is_back(stack: Stack) -> None:
    [counter] = stack.counters()
    stack.cloud.set_faults(datastore=[{"method": "*", "fault": "request_lost"}])

    task = enqueue(stack, counter, 5)
    status, _ = call(
        f"{stack.cloud.direct_url('worker')}/update-counter?counter={counter}&amount=5",
        "POST",
        {"X-AppEngine-QueueName": "q", "X-AppEngine-TaskName": f"{task}-other"},
    )
    assert status == 503
    stack.cloud.clear_faults()
    stack.cloud.wait_idle(60)

    assert stack.proof.shards([counter]) == Sums(1, 5)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{broken",
        b'{"amount": 1}',
        b'{"counter": "a", "amount": "abc"}',
        b"\xff\xfe",
        b'{"counter": ""}',
    ],
)
def test_a_task_that_can_never_succeed_relieves_the_queue_and_counts_nothing(
    stack: Stack, body: bytes
) -> None:
    channel = grpc.insecure_channel(stack.cloud.tasks_address)
    client = tasks_v2.CloudTasksClient(transport=CloudTasksGrpcTransport(channel=channel))
    parent = client.queue_path("local-project", "us-central1", "counter-updates-1")

    task = client.create_task(
        parent=parent,
        task=tasks_v2.Task(
            app_engine_http_request=tasks_v2.AppEngineHttpRequest(relative_uri="/update-counter", body=body)
        ),
    )
    stack.cloud.wait_idle(30)

    name = task.name.rpartition("/")[2]
    state = json.loads(call(f"{stack.cloud.url}/api/tasks/{name}")[1])
    assert state["state"] == "rejected"


def test_an_outsider_gets_nothing_applied_and_nothing_shown(stack: Stack) -> None:
    [counter] = stack.counters()
    forged = {
        "X-AppEngine-QueueName": "counter-updates-0",
        "X-AppEngine-TaskName": "forged",
        "X_AppEngine_TaskName": "forged",
        "X-Appengine-User-Is-Admin": "1",
        "X-AppEngine-User-Email": "admin@example.com",
    }
    # The front end knows services by their host; not every machine resolves worker.localhost.
    at_worker = {**forged, "Host": f"worker.localhost:{stack.cloud.url.rpartition(':')[2]}"}

    posted = call(f"{stack.cloud.url}/update-counter?counter={counter}&amount=1", "POST", at_worker)
    admin = call(f"{stack.cloud.url}/admin", headers=forged)

    assert posted[0] in (302, 401, 403)
    assert admin[0] in (302, 401, 403)
    assert counter not in admin[1]
    assert stack.proof.shards([counter]) == Sums()


def test_the_api_says_what_it_does_not_take(stack: Stack) -> None:
    for body in (b'{"amount": 1.5}', b'{"amount": ""}', b'{"amount": 0}', b"{", b'{"amount": "abc"}', b"[]"):
        status, text = call(
            f"{stack.cloud.url}/api/counters/a/increments", "POST", {"Content-Type": "application/json"}, body
        )
        assert status == 400
        assert {"field", "value", "expected"} <= set(json.loads(text))
    assert call(f"{stack.cloud.url}/api/counters/unknown-counter")[0] == 404
    assert call(f"{stack.cloud.url}/no/such/page")[0] == 404
    assert call(f"{stack.cloud.url}/api/counters", "DELETE")[0] == 405
