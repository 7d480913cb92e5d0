"""The JSON API: what it takes, what it answers, what it says of mistakes."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from localcloud.testing.waiting import wait_until

from pushtasks.database import Database
from pushtasks.entities import TaskRecord
from pushtasks.queues import NewTask, TaskQueues
from pushtasks.settings import Settings
from tests.default.conftest import DefaultClient


def test_an_increment_is_accepted_and_arrives(
    default: DefaultClient, name: str, wait_for_state: Callable[[str, str], Any]
) -> None:
    answer = default.post_json(f"/api/counters/{name}/increments", {"amount": 5})
    assert answer.status == 202
    assert answer.json["state"] == "enqueued"
    assert (answer.json["counter"], answer.json["amount"]) == (name, 5)
    assert answer.headers["Location"] == f"/api/tasks/{answer.json['task']}"
    applied = wait_for_state(answer.json["task"], "applied")
    assert (applied["counter"], applied["amount"], applied["attempts"]) == (name, 5, 1)
    counter = default.get(f"/api/counters/{name}").json
    assert (counter["name"], counter["value"], counter["tasks_applied"]) == (name, 5, 1)


def test_a_batch_gives_a_result_for_each_increment_in_order(
    default: DefaultClient, name: str, wait_for_state: Callable[[str, str], Any]
) -> None:
    increments = [{"counter": f"{name}.{index % 3}", "amount": index + 1} for index in range(12)]
    answer = default.post_json("/api/increments", {"increments": increments})
    assert answer.status == 202
    results = answer.json["results"]
    assert [result["state"] for result in results] == ["enqueued"] * 12
    for increment, result in zip(increments, results, strict=True):
        assert wait_for_state(result["task"], "applied")["amount"] == increment["amount"]
    values = default.get(f"/api/counters?prefix={name}").json["counters"]
    assert {each["name"]: each["value"] for each in values} == {
        f"{name}.0": 1 + 4 + 7 + 10,
        f"{name}.1": 2 + 5 + 8 + 11,
        f"{name}.2": 3 + 6 + 9 + 12,
    }


def test_a_batch_may_be_the_list_alone(default: DefaultClient, name: str) -> None:
    answer = default.post_json("/api/increments", [{"counter": name, "amount": 1}])
    assert answer.status == 202
    assert [result["state"] for result in answer.json["results"]] == ["enqueued"]


def test_the_same_key_sent_many_times_makes_one_task_and_each_caller_hears_the_truth(
    default: DefaultClient, name: str, wait_for_state: Callable[[str, str], Any]
) -> None:
    def send(_: int) -> Any:
        headers = {"Idempotency-Key": f"order {name}"}
        return default.post_json(f"/api/counters/{name}/increments", {"amount": 3}, headers)

    with ThreadPoolExecutor(10) as pool:
        answers = list(pool.map(send, range(20)))
    assert {answer.status for answer in answers} == {202}
    assert len({answer.json["task"] for answer in answers}) == 1
    assert sorted(answer.json["state"] for answer in answers) == ["duplicate"] * 19 + ["enqueued"]
    wait_for_state(answers[0].json["task"], "applied")
    assert send(0).json["state"] == "duplicate"
    assert default.get(f"/api/counters/{name}").json["value"] == 3


def test_a_key_with_another_payload_is_refused_and_enqueues_nothing(
    default: DefaultClient, name: str, wait_for_state: Callable[[str, str], Any]
) -> None:
    headers = {"Idempotency-Key": secrets.token_hex(4)}
    first = default.post_json(f"/api/counters/{name}/increments", {"amount": 1}, headers)
    second = default.post_json(f"/api/counters/{name}/increments", {"amount": 2}, headers)
    assert second.status == 422
    assert second.json["field"] == "Idempotency-Key"
    wait_for_state(first.json["task"], "applied")
    assert default.get(f"/api/counters/{name}").json["value"] == 1


def test_a_batch_under_a_used_key_is_a_duplicate_or_refused_as_a_whole(
    default: DefaultClient, name: str
) -> None:
    headers = {"Idempotency-Key": secrets.token_hex(4)}
    batch = {"increments": [{"counter": name, "amount": number} for number in (1, 2, 3)]}
    first = default.post_json("/api/increments", batch, headers)
    again = default.post_json("/api/increments", batch, headers)
    assert [each["task"] for each in again.json["results"]] == [
        each["task"] for each in first.json["results"]
    ]
    assert {each["state"] for each in again.json["results"]} == {"duplicate"}
    other = {"increments": [*batch["increments"][:2], {"counter": name, "amount": 4}]}
    assert default.post_json("/api/increments", other, headers).status == 422


@pytest.mark.parametrize(
    ("body", "field", "value"),
    [
        (b'{"amount": "abc"}', "amount", "abc"),
        (b'{"amount": 1.5}', "amount", 1.5),
        (b'{"amount": ""}', "amount", ""),
        (b'{"amount": 0}', "amount", 0),
        (b'{"amount": 2147483648}', "amount", 2147483648),
        (b'{"amount": true}', "amount", True),
        (b'{"amount": 1e999}', "amount", "inf"),
        (b'{"amount": [1]}', "amount", "[1]"),
        (b"{}", "amount", None),
        (b'{"amount": 1', "body", "{\"amount\": 1 (Expecting ',' delimiter: line 1 column 13 (char 12))"),
        (b'{"amount": 1, "amount": 2}', "body", '{"amount": 1, "amount": 2} (an object gives a name twice)'),
        (b"[1]", "body", "[1]"),
        (b"\xff\xfe", "body", r"b'\xff\xfe'"),
        (b"", "body", " (Expecting value: line 1 column 1 (char 0))"),
    ],
)
def test_what_is_no_increment_is_answered_with_field_value_and_expectation(
    default: DefaultClient, name: str, body: bytes, field: str, value: object
) -> None:
    answer = default.post_json(f"/api/counters/{name}/increments", body)
    assert answer.status == 400
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.json["field"] == field
    assert answer.json["value"] == value
    assert answer.json["expected"]
    assert answer.json["status"] == 400
    assert default.get(f"/api/counters/{name}").status == 404


@pytest.mark.parametrize("counter", ["-x", "a" * 101, "a b", "\xc3\xa9", ".a"])
def test_a_counter_name_that_is_not_allowed_is_a_400(default: DefaultClient, counter: str) -> None:
    answer = default.post_json(f"/api/counters/{counter}/increments", {"amount": 1})
    assert (answer.status, answer.json["field"]) == (400, "counter")
    assert default.get(f"/api/counters/{counter}").status == 400


@pytest.mark.parametrize("content_type", ["text/plain", "", "application/x-www-form-urlencoded"])
def test_increments_come_as_json(default: DefaultClient, name: str, content_type: str) -> None:
    headers = {"Content-Type": content_type}
    answer = default.request("POST", f"/api/counters/{name}/increments", b'{"amount":1}', headers)
    assert (answer.status, answer.json["field"]) == (400, "Content-Type")


@pytest.mark.parametrize("key", ["", "x" * 256, "\x7f"])
def test_a_key_that_can_not_be_used_is_a_400(default: DefaultClient, name: str, key: str) -> None:
    answer = default.post_json(f"/api/counters/{name}/increments", {"amount": 1}, {"Idempotency-Key": key})
    assert (answer.status, answer.json["field"]) == (400, "Idempotency-Key")


def test_one_bad_increment_of_a_batch_is_named_and_none_is_enqueued(
    default: DefaultClient, name: str
) -> None:
    increments: list[Any] = [{"counter": name, "amount": 1} for _ in range(5)]
    increments[2] = {"counter": "", "amount": "x"}
    increments[4] = "nothing"
    answer = default.post_json("/api/increments", {"increments": increments})
    assert answer.status == 400
    assert [(each["index"], each["field"]) for each in answer.json["errors"]] == [
        (2, "counter"),
        (2, "amount"),
        (4, "increment"),
    ]
    assert [each["value"] for each in answer.json["errors"]] == ["", "x", "nothing"]
    assert all(each["expected"] for each in answer.json["errors"])
    assert default.get(f"/api/counters/{name}").status == 404


@pytest.mark.parametrize("count", [0, 501])
def test_a_batch_holds_1_to_500_increments(default: DefaultClient, name: str, count: int) -> None:
    batch = {"increments": [{"counter": name, "amount": 1}] * count}
    answer = default.post_json("/api/increments", batch)
    assert (answer.status, answer.json["field"]) == (400, "increments")
    assert "1 to 500" in answer.json["expected"]


def test_500_increments_go_in_one_request(default: DefaultClient, name: str) -> None:
    batch = {"increments": [{"counter": name, "amount": 2}] * 500}
    answer = default.post_json("/api/increments", batch)
    assert answer.status == 202
    assert len({result["task"] for result in answer.json["results"]}) == 500

    def all_are_applied() -> bool:
        return bool(default.get(f"/api/counters/{name}").json.get("tasks_applied") == 500)

    wait_until(all_are_applied, "500 increments to be applied", 60)
    assert default.get(f"/api/counters/{name}").json["value"] == 1000


def test_counters_come_in_pages_by_name(
    default: DefaultClient, name: str, wait_for_state: Callable[[str, str], Any]
) -> None:
    names = [f"{name}.{index:02d}" for index in range(23)]
    batch = {"increments": [{"counter": each, "amount": 1} for each in names]}
    for result in default.post_json("/api/increments", batch).json["results"]:
        wait_for_state(result["task"], "applied")
    first = default.get(f"/api/counters?prefix={name}").json
    assert [each["name"] for each in first["counters"]] == names[:20]
    second = default.get(f"/api/counters?prefix={name}&cursor={first['next']}").json
    assert [each["name"] for each in second["counters"]] == names[20:]
    assert second["next"] is None


def test_a_cursor_of_nobody_is_a_400(default: DefaultClient) -> None:
    answer = default.get("/api/counters?cursor=%21%21")
    assert (answer.status, answer.json["field"]) == (400, "cursor")


def test_unknown_counters_and_tasks_are_404(default: DefaultClient, name: str) -> None:
    assert default.get(f"/api/counters/{name}").json["field"] == "counter"
    assert default.get(f"/api/counters/{name}").status == 404
    assert default.get(f"/api/tasks/{name}").status == 404
    assert default.get("/api/tasks/no%20name").status == 400


def test_a_task_that_waits_is_pending_with_its_attempts_and_last_response(
    default: DefaultClient, name: str
) -> None:
    paused = [
        default.admin_post(f"/admin/queues/counter-updates-{number}/pause", back="/admin")
        for number in range(4)
    ]
    try:
        assert {answer.status for answer in paused} == {303}
        task = default.post_json(f"/api/counters/{name}/increments", {"amount": 1}).json["task"]
        answer = default.get(f"/api/tasks/{task}")
        assert answer.json == {
            "task": task,
            "state": "pending",
            "counter": None,
            "amount": None,
            "attempts": 0,
            "last_response": None,
        }
    finally:
        for number in range(4):
            default.admin_post(f"/admin/queues/counter-updates-{number}/resume", back="/admin")


def test_a_task_of_another_handler_is_asked_for_by_the_handlers_name(
    environ: dict[str, str], database: Database, name: str
) -> None:
    default = DefaultClient({**environ, "COUNTER_OTHER_QUEUES": "default"})
    default.admin_post("/admin/queues/default/pause", back="/admin")
    queues = TaskQueues(Settings.read({**environ, "COUNTER_OTHER_QUEUES": "default"}))
    try:
        queues.create(NewTask(name, "default", b"", "/note-reading", time.time()))
        assert default.get(f"/api/tasks/{name}?handler=note-reading").json["state"] == "pending"
        assert default.get(f"/api/tasks/{name}?handler=note-weather").status == 404
        with database.context():
            database.put(
                TaskRecord(key=TaskRecord.key_of("note-reading", name), outcome="applied", attempts=2)
            )
        answer = default.get(f"/api/tasks/{name}?handler=note-reading").json
        assert (answer["state"], answer["attempts"]) == ("applied", 2)
        missing = default.get(f"/api/tasks/{name}")
        assert (missing.status, "?handler=NAME" in missing.json["expected"]) == (404, True)
        assert default.get(f"/api/tasks/{name}?handler=%ff").status == 400
    finally:
        default.admin_post("/admin/queues/default/purge", back="/admin")
        default.admin_post("/admin/queues/default/resume", back="/admin")


def test_head_is_answered_as_get_without_a_body(default: DefaultClient) -> None:
    answer = default.request("HEAD", "/api/counters")
    assert (answer.status, answer.body) == (200, b"")


@pytest.fixture
def purged(default: DefaultClient, name: str) -> Iterator[tuple[dict[str, str], list[dict[str, object]]]]:
    """The key of an increment and of a batch of three whose tasks were purged, and the batch."""
    key = {"Idempotency-Key": name}
    batch: list[dict[str, object]] = [{"counter": name, "amount": 1}] * 3
    queues = [f"/admin/queues/counter-updates-{number}" for number in range(4)]
    for queue in queues:
        default.admin_post(f"{queue}/pause")
    try:
        assert default.post_json(f"/api/counters/{name}/increments", {"amount": 1}, key).status == 202
        assert default.post_json("/api/increments", batch, key).status == 202
        form = {"counter": name, "amount": "1", "key": f"{name}-form"}
        assert default.post_form("/counters/increments", form).status == 303
        for queue in queues:
            default.admin_post(f"{queue}/purge", typed=queue.rpartition("/")[2])
        yield key, batch
    finally:
        for queue in queues:
            default.admin_post(f"{queue}/resume")


def test_what_was_purged_is_told_as_removed_and_not_as_a_duplicate(
    default: DefaultClient, purged: tuple[dict[str, str], list[dict[str, object]]], name: str
) -> None:
    key, batch = purged
    single = default.post_json(f"/api/counters/{name}/increments", {"amount": 1}, key)
    assert (single.status, single.json["state"], single.json["field"]) == (409, "removed", "Idempotency-Key")
    assert "under a new key" in single.json["detail"]

    many = default.post_json("/api/increments", batch, key)
    assert many.status == 409
    assert [each["state"] for each in many.json["results"]] == ["removed"] * 3

    form = {"counter": name, "amount": "1", "key": f"{name}-form"}
    page = default.post_form("/counters/increments", form, {"Accept": "text/html"})
    assert page.status == 409
    assert "removed from its queue" in page.text
