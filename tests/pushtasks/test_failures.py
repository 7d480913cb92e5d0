"""Giving up: N failures of a task's own, and then it waits for a person."""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable
from typing import ClassVar

import pytest
from google.cloud import ndb

from pushtasks import group, kept_tasks
from pushtasks.delivery import Delivery, Outcome
from pushtasks.entities import TaskFailures, TaskRecord
from pushtasks.errors import Contention, DatastoreUnavailable
from pushtasks.failures import described
from pushtasks.task import Task
from pushtasks.work import Work
from pushtasks.worker import Worker
from tests.pushtasks.conftest import MakeWorker, delivery_of


class Flaky(Task[str]):
    """Fails as its payload says, until somebody mends it."""

    name = "flaky"
    queues = ("q",)
    attempts: ClassVar[int | None] = 3

    def parse(self, delivery: Delivery) -> str:
        return str(json.loads(delivery.body)["fails"])

    def apply(self, payload: str, delivery: Delivery, work: Work) -> None:
        if payload == "contention":
            raise Contention("others were faster")
        if payload == "away":
            raise DatastoreUnavailable("it is away")
        if payload == "yes":
            raise RuntimeError("no\n  luck " + "x" * 1000)


class Stubborn(Flaky):
    name = "stubborn"
    attempts = None


Fail = Callable[[str, str], Outcome | str]


def deliver(worker: Worker, kind: str, name: str, fails: str) -> Outcome | str:
    """What one more delivery of a task comes to; the error's type if it is to be delivered again."""
    try:
        return worker.deliver(kind, delivery_of(json.dumps({"fails": fails}).encode(), name=name))
    except Exception as error:  # noqa: BLE001 - what came out is what is tested
        return type(error).__name__


def test_the_last_failure_that_is_allowed_keeps_the_task_for_a_person(make_worker: MakeWorker) -> None:
    worker, name = make_worker(Flaky), secrets.token_hex(8)

    came_to = [deliver(worker, "flaky", name, "yes") for _ in range(5)]

    assert came_to == ["RuntimeError", "RuntimeError", Outcome.GAVE_UP, Outcome.DUPLICATE, Outcome.DUPLICATE]
    with worker.database.context():
        record = TaskRecord.key_of("flaky", name).get()
        kept = kept_tasks.find(worker.database, f"{name}@flaky")
        assert TaskFailures.key_of("flaky", name).get() is None
    assert record.outcome == "gave-up"
    assert kept is not None
    assert (kept.outcome, kept.state, kept.reason) == ("gave-up", "kept", "gave up: RuntimeError")
    assert kept.detail.startswith("Failed 3 times. The last error: RuntimeError: no luck xxx")
    assert len(kept.detail) < 600


def test_a_task_that_succeeds_in_time_is_applied(make_worker: MakeWorker) -> None:
    worker, name = make_worker(Flaky), secrets.token_hex(8)

    came_to = [deliver(worker, "flaky", name, fails) for fails in ("yes", "yes", "no", "yes")]

    assert came_to == ["RuntimeError", "RuntimeError", Outcome.APPLIED, Outcome.DUPLICATE]


@pytest.mark.parametrize("fault", ["contention", "away"])
def test_what_is_not_the_tasks_own_fault_does_not_count(
    make_worker: MakeWorker, fault: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(group, "_LONGEST_SPACING_S", 0.001)
    worker, name = make_worker(Flaky), secrets.token_hex(8)

    for _ in range(5):
        assert deliver(worker, "flaky", name, fault) in ("Contention", "DatastoreUnavailable")

    assert deliver(worker, "flaky", name, "no") is Outcome.APPLIED


def test_without_a_limit_a_task_is_tried_for_ever_and_nothing_is_stored(make_worker: MakeWorker) -> None:
    worker, name = make_worker(Stubborn), secrets.token_hex(8)

    for _ in range(5):
        assert deliver(worker, "stubborn", name, "yes") == "RuntimeError"

    with worker.database.context():
        assert TaskFailures.key_of("stubborn", name).get() is None


def test_a_payload_that_can_not_be_parsed_by_mistake_counts_too(make_worker: MakeWorker) -> None:
    worker, name = make_worker(Flaky), secrets.token_hex(8)

    came_to: list[Outcome | None] = []
    for _ in range(3):
        try:
            came_to.append(worker.deliver("flaky", delivery_of(b"[]", name=name)))
        except TypeError:
            came_to.append(None)

    assert came_to == [None, None, Outcome.GAVE_UP]


def test_the_same_delivery_counts_once_however_often_its_counting_is_repeated(
    make_worker: MakeWorker,
) -> None:
    worker = make_worker(Flaky)
    counter = worker._lines["flaky"].failures
    delivery = delivery_of()

    for _ in range(5):
        assert counter.count(delivery, RuntimeError()) is None


def test_a_failure_that_can_not_be_stored_does_not_count(
    make_worker: MakeWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker, name = make_worker(Flaky), secrets.token_hex(8)

    def away(*_: object, **__: object) -> None:
        raise DatastoreUnavailable("it is away")

    monkeypatch.setattr(worker.database, "transaction", away)
    for _ in range(5):
        deliver(worker, "flaky", name, "yes")
    monkeypatch.undo()

    assert [deliver(worker, "flaky", name, "yes") for _ in range(3)][-1] is Outcome.GAVE_UP


def test_giving_up_is_counted_in_the_statistics(make_worker: MakeWorker) -> None:
    worker, name = make_worker(Flaky), secrets.token_hex(8)
    with worker.database.context():
        key = ndb.Key("TaskStatistics", f"flaky:{worker.slot.number}")
        before = getattr(worker.database.get([key])[0], "gave_up", 0)

    for _ in range(3):
        deliver(worker, "flaky", name, "yes")

    with worker.database.context():
        assert worker.database.get([key])[0].gave_up == before + 1


def test_an_error_is_described_in_one_short_line() -> None:
    assert described(ValueError("a\n b")) == "ValueError: a b"
    assert described(KeyError()) == "KeyError"
    assert len(described(ValueError("y" * 9000))) == 500


def test_an_error_is_described_in_what_datastore_takes_whatever_the_payload_put_into_it() -> None:
    assert described(ValueError("odd: \ud800")) == "ValueError: odd: \\ud800"
