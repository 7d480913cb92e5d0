"""The JSON API: what it takes, what it answers, what it says about mistakes."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from itertools import count
from typing import Any

import pytest

from counters.settings import CounterSettings
from counters.update_counter import UpdateCounter
from default import service
from pushtasks import names
from pushtasks.database import Database
from pushtasks.entities import TaskRecord
from pushtasks.queues import NewTask, TaskQueues
from tests.default.conftest import DefaultClient


class NoteReading(UpdateCounter):
    """A second kind of task."""

    name = "note-reading"


def test_an_increment_is_accepted_and_arrives(
    default: DefaultClient, name: str, wait_for_state: Callable[[str, str], Any]
) -> None:
    answer = default.post_json(f"/api/counters/{name}/increments", {"amount": 5})
    assert answer.status == 202
    assert answer.json["state"] == "enqueued"
    assert (answer.json["counter"], answer.json["amount"]) == (name, 5)
    assert answer.headers["Location"] == f"/api/tasks/{answer.json['task']}"
    applied = wait_for_state(answer.json["task"], "applied")
    assert (applied["note"], applied["attempts"]) == ({"counter": name, "amount": 5}, 1)
    counter = default.get(f"/api/counters/{name}").json
    assert (counter["name"], counter["value"]) == (name, 5)
    assert (counter["increments"], counter["tasks_applied"]) == (1, 1)


def test_a_batch_is_one_task_that_adds_to_all_of_its_counters(
    default: DefaultClient, name: str, wait_for_state: Callable[[str, str], Any]
) -> None:
    increments = [{"counter": f"{name}.{index % 3}", "amount": index + 1} for index in range(12)]
    answer = default.post_json("/api/increments", {"increments": increments})
    task = answer.json["task"]
    assert (answer.status, answer.headers["Location"]) == (202, f"/api/tasks/{task}")
    assert answer.json == {"task": task, "state": "enqueued", "increments": 12, "counters": 3}
    sums = {f"{name}.0": 1 + 4 + 7 + 10, f"{name}.1": 2 + 5 + 8 + 11, f"{name}.2": 3 + 6 + 9 + 12}
    assert wait_for_state(task, "applied")["note"] == {"increments": 12, "amount": 78, "counters": sums}
    counters = default.get(f"/api/counters?prefix={name}").json["counters"]
    assert {each["name"]: each["value"] for each in counters} == sums
    assert {(each["increments"], each["tasks_applied"]) for each in counters} == {(4, 1)}


def test_a_batch_may_be_the_list_alone(default: DefaultClient, name: str) -> None:
    answer = default.post_json("/api/increments", [{"counter": name, "amount": 1}])
    assert (answer.status, answer.json["state"], answer.json["increments"]) == (202, "enqueued", 1)


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
    default: DefaultClient, name: str, wait_for_state: Callable[[str, str], Any]
) -> None:
    headers = {"Idempotency-Key": secrets.token_hex(4)}
    batch = {"increments": [{"counter": name, "amount": number} for number in (1, 2, 3)]}
    first = default.post_json("/api/increments", batch, headers)
    for _ in ("while it is pending or just applied", "once it is applied"):
        again = default.post_json("/api/increments", batch, headers)
        assert again.status == 202
        assert again.json == {**first.json, "state": "duplicate"}
        wait_for_state(first.json["task"], "applied")
    for other in (
        [*batch["increments"][:2], {"counter": name, "amount": 4}],
        batch["increments"][:2],
        [*batch["increments"], {"counter": f"{name}-new", "amount": 1}],
    ):
        refused = default.post_json("/api/increments", {"increments": other}, headers)
        assert (refused.status, refused.json["field"]) == (422, "Idempotency-Key")
    assert default.get(f"/api/counters/{name}").json["value"] == 6
    assert default.get(f"/api/counters/{name}-new").status == 404


def test_a_key_belongs_to_one_payload_whether_single_or_batch(default: DefaultClient, name: str) -> None:
    headers = {"Idempotency-Key": secrets.token_hex(4)}
    single = default.post_json(f"/api/counters/{name}/increments", {"amount": 1}, headers)
    batch = default.post_json("/api/increments", [{"counter": name, "amount": 1}], headers)
    other = default.post_json(f"/api/counters/{name}-b/increments", {"amount": 1}, headers)
    assert (single.status, batch.status, other.status) == (202, 422, 422)


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
    assert answer.json["detail"] == "2 of 5 increments are invalid; none was enqueued."
    assert all(each["expected"] for each in answer.json["errors"])
    assert default.get(f"/api/counters/{name}").status == 404


def test_every_bad_increment_of_a_full_batch_is_named(default: DefaultClient, name: str) -> None:
    batch: list[Any] = [{"counter": name, "amount": 0}] * 1000
    answer = default.post_json("/api/increments", batch)
    assert answer.status == 400
    assert [each["index"] for each in answer.json["errors"]] == list(range(1000))


@pytest.mark.parametrize("increments", [[], None, {}, "x"])
def test_a_batch_is_a_list_with_something_in_it(default: DefaultClient, increments: object) -> None:
    answer = default.post_json("/api/increments", {"increments": increments})
    assert (answer.status, answer.json["field"]) == (400, "increments")
    assert "1 to 1000" in answer.json["expected"]


def test_a_batch_of_more_than_1000_increments_or_400_counters_is_too_large(
    default: DefaultClient, name: str
) -> None:
    for batch, given, expected in (
        ([{"counter": name, "amount": 1}] * 1001, "1001 increments", "a list of 1 to 1000 increments"),
        (
            [{"counter": f"{name}.{number}", "amount": 1} for number in range(401)],
            "401 counters",
            "at most 400 different counters",
        ),
    ):
        answer = default.post_json("/api/increments", {"increments": batch})
        assert (answer.status, answer.json["field"]) == (413, "increments")
        assert (answer.json["value"], answer.json["expected"]) == (given, expected)
        assert "Nothing was enqueued; send it in parts." in answer.json["detail"]
    assert default.get(f"/api/counters?prefix={name}").json["counters"] == []


def test_a_batch_of_more_bytes_than_a_task_holds_is_too_large(default: DefaultClient, name: str) -> None:
    long = name + "x" * (100 - len(name))
    batch = [{"counter": long, "amount": -2147483648}] * 1000
    answer = default.post_json("/api/increments", batch)
    assert (answer.status, answer.json["field"]) == (413, "increments")
    assert answer.json["expected"] == "at most 98000 bytes of JSON"
    assert default.get(f"/api/counters/{long}").status == 404


def test_1000_increments_go_in_one_request_and_one_task(
    default: DefaultClient, name: str, wait_for_state: Callable[[str, str], Any]
) -> None:
    answer = default.post_json("/api/increments", [{"counter": name, "amount": 2}] * 1000)
    assert (answer.status, answer.json["increments"], answer.json["counters"]) == (202, 1000, 1)
    wait_for_state(answer.json["task"], "applied")
    counter = default.get(f"/api/counters/{name}").json
    assert (counter["value"], counter["increments"], counter["tasks_applied"]) == (2000, 1000, 1)


def test_a_batch_may_have_400_counters_with_the_largest_names_and_amounts_that_fit(
    default: DefaultClient, name: str, wait_for_state: Callable[[str, str], Any]
) -> None:
    names = [f"{name}.{number:03d}-".ljust(100, "x") for number in range(400)]
    batch = [{"counter": each, "amount": -2147483648} for each in names]
    answer = default.post_json("/api/increments", batch)
    assert (answer.status, answer.json["counters"]) == (202, 400)
    note = wait_for_state(answer.json["task"], "applied")["note"]
    assert note == {"increments": 400, "amount": -2147483648 * 400}
    assert default.get(f"/api/counters/{names[399]}").json["value"] == -2147483648


def test_counters_come_in_pages_by_name(
    default: DefaultClient, name: str, wait_for_state: Callable[[str, str], Any]
) -> None:
    names = [f"{name}.{index:02d}" for index in range(23)]
    batch = {"increments": [{"counter": each, "amount": 1} for each in names]}
    wait_for_state(default.post_json("/api/increments", batch).json["task"], "applied")
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
        assert answer.json == {"task": task, "state": "pending", "attempts": 0}
    finally:
        for number in range(4):
            default.admin_post(f"/admin/queues/counter-updates-{number}/resume", back="/admin")


def test_a_task_of_another_kind_is_asked_for_by_the_kinds_name(
    environ: dict[str, str], database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "TASKS", (UpdateCounter, NoteReading))
    default = DefaultClient(environ)
    default.admin_post("/admin/queues/counter-updates-2/pause")
    queues = TaskQueues(CounterSettings.read(environ))
    start = secrets.randbelow(10**9)
    name = next(
        each
        for each in map(str, count(start))
        if names.queue_of(each, UpdateCounter.queues) == "counter-updates-2"
    )
    queues.create(NewTask(name, "counter-updates-2", b"{}", "/note-reading", datetime.now(UTC)))
    assert default.get(f"/api/tasks/{name}?handler=note-reading").json["state"] == "pending"
    assert default.get(f"/api/tasks/{name}?handler=note-weather").status == 404
    assert default.get(f"/api/tasks/{name}").status == 404, "a kind may share a queue with others"
    with database.context():
        database.put(TaskRecord(key=TaskRecord.key_of("note-reading", name), outcome="applied", attempts=2))
    answer = default.get(f"/api/tasks/{name}?handler=note-reading").json
    assert (answer["state"], answer["attempts"]) == ("applied", 2)
    missing = default.get(f"/api/tasks/{name}")
    assert (missing.status, "?handler=KIND" in missing.json["expected"]) == (404, True)
    assert default.get(f"/api/tasks/{name}?handler=%ff").status == 400


def test_head_is_answered_as_get_without_a_body(default: DefaultClient) -> None:
    answer = default.request("HEAD", "/api/counters")
    assert (answer.status, answer.body) == (200, b"")


@pytest.fixture
def purged(default: DefaultClient, name: str) -> tuple[dict[str, str], dict[str, str]]:
    """The keys of an increment and of a batch of three whose tasks were purged."""
    single, batch = {"Idempotency-Key": name}, {"Idempotency-Key": f"{name}-batch"}
    queues = [f"/admin/queues/counter-updates-{number}" for number in range(4)]
    for queue in queues:
        default.admin_post(f"{queue}/pause")
    assert default.post_json(f"/api/counters/{name}/increments", {"amount": 1}, single).status == 202
    assert default.post_json("/api/increments", [{"counter": name, "amount": 1}] * 3, batch).status == 202
    form = {"counter": name, "amount": "1", "key": f"{name}-form"}
    assert default.post_form("/counters/increments", form).status == 303
    for queue in queues:
        default.admin_post(f"{queue}/purge", typed=queue.rpartition("/")[2])
    return single, batch


def test_what_was_purged_is_told_as_removed_and_not_as_a_duplicate(
    default: DefaultClient, purged: tuple[dict[str, str], dict[str, str]], name: str
) -> None:
    single_key, batch_key = purged
    single = default.post_json(f"/api/counters/{name}/increments", {"amount": 1}, single_key)
    many = default.post_json("/api/increments", [{"counter": name, "amount": 1}] * 3, batch_key)
    for answer in (single, many):
        assert (answer.status, answer.json["state"]) == (409, "removed")
        assert answer.json["field"] == "Idempotency-Key"
        assert "under a new key" in answer.json["detail"]

    form = {"counter": name, "amount": "1", "key": f"{name}-form"}
    page = default.post_form("/counters/increments", form, {"Accept": "text/html"})
    assert page.status == 409
    assert "removed from its queue" in page.text
