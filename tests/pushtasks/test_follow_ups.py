"""Follow-ups: each takes effect exactly once, none without its parent, none lost, whatever happens."""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from google.cloud import ndb
from localcloud.testing import FaultyProxy, TasksProcess

from counters.settings import CounterSettings
from pushtasks import follow_ups, kept_tasks, names
from pushtasks.delivery import Delivery, Outcome, delivery_of_request
from pushtasks.entities import FollowUps, TaskRecord
from pushtasks.errors import OutcomeUnknown, QueueRefused, Rejected
from pushtasks.queue_control import QueueControl
from pushtasks.queues import NewTask
from pushtasks.task import Task
from pushtasks.timeline import Timelines
from pushtasks.work import Work
from pushtasks.worker import Worker
from tests.conftest import PROJECT, StandingClock
from tests.pushtasks.conftest import delivery_of
from tests.pushtasks.follow_up_model import Rules, explore


@pytest.mark.parametrize(
    ("without", "broken"),
    [
        ({}, ""),
        ({"stored_with_record": False}, "a follow-up was lost"),
        ({"every_delivery_creates": False}, "a follow-up was lost"),
        ({"created_before_answer": False}, "a follow-up was lost"),
        ({"own_record": False}, "a follow-up took effect twice"),
        ({"none_when_old": False}, "a follow-up took effect twice"),
    ],
)
def test_the_design_keeps_its_promises_in_every_interleaving_and_each_rule_is_needed(
    without: dict[str, bool], broken: str
) -> None:
    found, visited = explore(Rules(**without))

    assert found == broken
    assert broken or visited > 5000, "everything was looked at"


class Effect(ndb.Model):
    """What a receipt did: how often it was applied."""

    count = ndb.IntegerProperty(indexed=False, default=0)


class SendReceipt(Task[str]):
    name = "send-receipt"
    queues = ("receipts",)

    def parse(self, delivery: Delivery) -> str:
        return str(json.loads(delivery.body)["receipt"])

    def apply(self, receipt: str, delivery: Delivery, work: Work) -> None:
        work.get(Effect, receipt).count += 1


class Order(Task[dict[str, Any]]):
    """{"order": "x", "receipts": 3, "delay_s": 0, "sold_out": false}"""

    name = "order"
    queues = ("orders",)

    def parse(self, delivery: Delivery) -> dict[str, Any]:
        return json.loads(delivery.body)  # type: ignore[no-any-return]

    def apply(self, payload: dict[str, Any], delivery: Delivery, work: Work) -> None:
        for number in range(payload["receipts"]):
            delay = timedelta(seconds=payload.get("delay_s", 0))
            work.enqueue(SendReceipt, {"receipt": f"{payload['order']}-{number}"}, delay=delay)
        if payload.get("sold_out"):
            raise Rejected("order", payload["order"], "something that is left")


@pytest.fixture(scope="module")
def tasks_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TasksProcess]:
    """A queue whose tasks stay pending: nobody answers where it delivers to."""
    file = tmp_path_factory.mktemp("queues") / "queue.yaml"
    file.write_text("queue:\n- name: orders\n  rate: 50/s\n- name: receipts\n  rate: 50/s\n")
    with TasksProcess(file, {"worker": "http://127.0.0.1:1"}, "--project", PROJECT) as server:
        yield server


@pytest.fixture
def worker(
    proxy: FaultyProxy,
    datastore_address: str,
    settings: CounterSettings,
    clock: StandingClock,
    fast_path: str,
    monkeypatch: pytest.MonkeyPatch,
) -> Worker:
    monkeypatch.setenv("DATASTORE_EMULATOR_HOST", datastore_address)
    own = replace(
        settings,
        tasks_emulator=proxy.tasks_address,
        location="us-central1",
        fast_path_switch=fast_path,
    )
    return Worker(own, [Order, SendReceipt], clock=clock)


@pytest.fixture
def order() -> Callable[..., Delivery]:
    """One more delivery of an order of this test."""
    name = secrets.token_hex(8)

    def deliver(**about: Any) -> Delivery:
        payload = {"order": name, "receipts": 3, **about}
        return delivery_of(json.dumps(payload).encode(), name=name)

    return deliver


Order_ = Callable[..., Delivery]


def pending(worker: Worker, parent: str, receipts: int = 3) -> list[bool]:
    """Which of the parent's follow-ups are in their queue."""
    return [
        worker.queues.get(follow_ups.name_of("order", parent, position), "receipts") is not None
        for position in range(receipts)
    ]


def deliver_pending(worker: Worker, parent: str, receipts: int = 3, times: int = 1) -> None:
    """Deliver each pending follow-up as the queue would, and take it off."""
    for position in range(receipts):
        name = follow_ups.name_of("order", parent, position)
        task = worker.queues.get(name, "receipts")
        if task is None:
            continue
        request = task.app_engine_http_request
        headers = {header.lower(): value for header, value in request.headers.items()}
        for _ in range(times):
            delivery = delivery_of_request(
                {**headers, "x-appengine-taskname": name},
                request.relative_uri,
                "",
                headers["content-type"],
                request.body,
            )
            worker.deliver("send-receipt", delivery)
        worker.queues.client.delete_task(name=task.name)


def effects(worker: Worker, parent: str, receipts: int = 3) -> list[int]:
    with worker.database.context():
        found = worker.database.get([ndb.Key(Effect, f"{parent}-{number}") for number in range(receipts)])
    return [each.count if each else 0 for each in found]


def test_an_applied_task_has_its_follow_ups_created_before_it_is_answered(
    worker: Worker, order: Order_, clock: StandingClock
) -> None:
    delivery = order()

    assert worker.deliver("order", delivery) is Outcome.APPLIED

    assert pending(worker, delivery.name) == [True] * 3
    deliver_pending(worker, delivery.name, times=2)
    assert effects(worker, delivery.name) == [1, 1, 1]


def test_a_rejected_task_has_none(worker: Worker, order: Order_) -> None:
    delivery = order(sold_out=True)

    assert worker.deliver("order", delivery) is Outcome.REJECTED
    assert worker.deliver("order", order(sold_out=True)) is Outcome.DUPLICATE

    assert pending(worker, delivery.name) == [False] * 3
    with worker.database.context():
        assert FollowUps.key_of("order", delivery.name).get() is None


@pytest.mark.parametrize("created", [0, 1, 2, 3])
def test_after_a_death_between_commit_and_answer_the_next_delivery_creates_the_rest(
    worker: Worker, order: Order_, monkeypatch: pytest.MonkeyPatch, created: int
) -> None:
    class Killed(BaseException):
        """As if the process had died here."""

    create = worker.queues.create
    calls = 0

    def create_and_die(task: NewTask) -> None:
        nonlocal calls
        if calls == created:
            raise Killed
        calls += 1
        create(task)

    delivery = order()
    if created < 3:
        monkeypatch.setattr(worker.queues, "create", create_and_die)
        with pytest.raises(Killed):
            worker.deliver("order", delivery)
        monkeypatch.undo()
    else:
        worker.deliver("order", delivery)  # and died before the answer went out
    assert pending(worker, delivery.name) == [position < created for position in range(3)]

    assert worker.deliver("order", order()) is Outcome.DUPLICATE

    assert pending(worker, delivery.name) == [True] * 3
    deliver_pending(worker, delivery.name)
    assert effects(worker, delivery.name) == [1, 1, 1]


@pytest.mark.parametrize("fault", ["request_lost", "response_lost"])
def test_a_creation_without_an_answer_makes_the_queue_ask_again(
    worker: Worker, order: Order_, proxy: FaultyProxy, fault: str
) -> None:
    delivery = order()
    proxy.set_faults(tasks=[{"method": "CreateTask", "fault": fault, "calls": [2]}])

    with pytest.raises(OutcomeUnknown):
        worker.deliver("order", delivery)
    assert worker.deliver("order", order()) is Outcome.DUPLICATE

    deliver_pending(worker, delivery.name)
    assert effects(worker, delivery.name) == [1, 1, 1]


def test_a_name_that_the_queue_has_forgotten_is_created_again_without_harm(
    worker: Worker, order: Order_, monkeypatch: pytest.MonkeyPatch
) -> None:
    delivery = order()
    worker.deliver("order", delivery)
    deliver_pending(worker, delivery.name)
    forgotten: list[NewTask] = []
    monkeypatch.setattr(worker.queues, "create", forgotten.append)

    worker.deliver("order", order())

    for task in forgotten:
        again = Delivery(task.name, "receipts", body=task.body, enqueued_at=task.enqueued_at)
        assert worker.deliver("send-receipt", again) is Outcome.DUPLICATE
    assert len(forgotten) == 3
    assert effects(worker, delivery.name) == [1, 1, 1]


def test_a_group_of_copies_creates_them_once_and_each_copy_waits_for_them(
    worker: Worker, order: Order_
) -> None:
    applier = worker._lines["order"].applier
    first = order()

    results = applier.apply([applier.receive(first), applier.receive(order())])

    assert [result.follow_ups for result in results] == [3, 3]


def test_a_follow_up_for_later_has_the_time_that_its_parent_fixed(
    worker: Worker, order: Order_, clock: StandingClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    created: list[NewTask] = []
    monkeypatch.setattr(worker.queues, "create", created.append)
    applied_at = clock.now
    worker.deliver("order", order(delay_s=3600))
    clock.advance(minutes=30)
    worker.deliver("order", order(delay_s=3600))

    assert {task.due_at for task in created} == {applied_at + timedelta(hours=1)}
    assert {task.enqueued_at for task in created} == {applied_at}
    assert len(created) == 6


def test_none_is_created_when_its_own_record_might_be_gone(
    worker: Worker, order: Order_, clock: StandingClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    created: list[NewTask] = []
    monkeypatch.setattr(worker.queues, "create", created.append)
    worker.deliver("order", order(receipts=1))
    clock.advance(days=88)
    worker.deliver("order", order(receipts=1))
    clock.advance(days=2)
    worker.deliver("order", order(receipts=1))

    assert len(created) == 2


def test_a_creation_that_is_refused_is_tried_for_a_day_and_then_kept_for_a_person(
    worker: Worker, order: Order_, clock: StandingClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(task: NewTask) -> None:
        raise QueueRefused("The queue is disabled.")

    monkeypatch.setattr(worker.queues, "create", refuse)
    delivery = order(receipts=1)
    for _ in range(2):
        with pytest.raises(QueueRefused):
            worker.deliver("order", order(receipts=1))
    clock.advance(days=1, seconds=1)

    assert worker.deliver("order", order(receipts=1)) is Outcome.DUPLICATE
    assert worker.deliver("order", order(receipts=1)) is Outcome.DUPLICATE

    name = follow_ups.name_of("order", delivery.name, 0)
    with worker.database.context():
        kept = kept_tasks.find(worker.database, f"{name}@send-receipt")
        assert TaskRecord.key_of("send-receipt", name).get().outcome == "refused"
    assert kept is not None
    assert (kept.reason, kept.detail) == ("refused by its queue", "The queue is disabled.")


def test_a_refused_follow_up_does_not_hold_up_those_after_it(
    worker: Worker, order: Order_, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked_for = []

    def refuse_the_first(task: NewTask) -> None:
        asked_for.append(task.name)
        if len(asked_for) == 1:
            raise QueueRefused("The queue is disabled.")

    monkeypatch.setattr(worker.queues, "create", refuse_the_first)
    delivery = order(receipts=3)
    with pytest.raises(QueueRefused, match="disabled"):
        worker.deliver("order", delivery)

    assert asked_for == [follow_ups.name_of("order", delivery.name, position) for position in range(3)]


@pytest.mark.parametrize(
    ("payload", "expected"), [("x" * 100_000, "98000 bytes of JSON"), ({1, 2}, "what JSON can hold")]
)
def test_a_follow_up_that_no_queue_takes_rejects_its_parent_before_the_commit(
    worker: Worker, order: Order_, monkeypatch: pytest.MonkeyPatch, payload: Any, expected: str
) -> None:
    def apply(self: Order, _: Any, delivery: Delivery, work: Work) -> None:
        work.enqueue(SendReceipt, payload)

    monkeypatch.setattr(Order, "apply", apply)
    delivery = order()

    assert worker.deliver("order", delivery) is Outcome.REJECTED
    with worker.database.context():
        kept = kept_tasks.find(worker.database, f"{delivery.name}@order")
    assert kept is not None
    assert expected in kept.reason


def test_names_of_follow_ups_differ_by_kind_parent_and_position() -> None:
    made = {
        follow_ups.name_of(kind, parent, position)
        for kind in ("a", "b")
        for parent in ("x", "y")
        for position in range(3)
    }

    assert len(made) == 12
    assert not made & {names.keyed_name("follow-up", "a"), names.keyed_name("a", "x")}


def test_a_timeline_leads_from_a_parent_to_its_follow_ups_and_back(worker: Worker, order: Order_) -> None:
    delivery = order(delay_s=3600)
    worker.deliver("order", delivery)
    control = QueueControl(worker.queues, worker.kinds.queues, worker.settings)
    timelines = Timelines(worker.database, control, worker.kinds, worker.settings)

    with worker.database.context():
        parent = timelines.find(delivery.name)
        assert parent is not None
        child = timelines.of("send-receipt", parent.follow_ups[1].name)
    assert [(each.task, each.state) for each in parent.follow_ups] == [("send-receipt", None)] * 3
    assert child is not None
    assert (child.state, child.text) == ("pending", f'{{"receipt":"{delivery.name}-1"}}')
    assert (child.parent and child.parent.name, child.parent and child.parent.task) == (
        delivery.name,
        "order",
    )
    assert [event.what for event in child.events][:2] == ["created", "due"]

    deliver_pending(worker, delivery.name)

    with worker.database.context():
        parent = timelines.of("order", delivery.name)
    assert parent is not None
    assert {each.state for each in parent.follow_ups} == {"applied"}


def test_a_delivery_that_fails_and_finds_its_task_applied_creates_what_follows(
    worker: Worker, order: Order_, monkeypatch: pytest.MonkeyPatch
) -> None:
    def mistaken(*_: object) -> None:
        raise RuntimeError("a release with a mistake")

    monkeypatch.setattr(Order, "attempts", 3)
    first, second = order(), order()
    line = worker._lines["order"]
    line.committer.commit(line.applier.receive(first))  # and its process dies before it goes on
    monkeypatch.setattr(Order, "parse", mistaken)

    assert worker.deliver("order", second) is Outcome.DUPLICATE

    assert pending(worker, first.name) == [True] * 3
