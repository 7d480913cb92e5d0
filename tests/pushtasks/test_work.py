"""The unit of work: any grouping of tasks comes to what the same tasks come to one by one."""

from __future__ import annotations

import json
import secrets
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import pytest
from google.cloud import ndb
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from pushtasks.applier import Applier
from pushtasks.delivery import Delivery, Outcome
from pushtasks.entities import TaskRecord
from pushtasks.errors import CommitTooLarge, Contention, PlainAccess, Rejected, TaskRaised, UnsentWrites
from pushtasks.task import Task
from pushtasks.work import UnitOfWork, Work
from pushtasks.worker import Worker
from tests.pushtasks.conftest import MakeWorker, delivery_of


class Box(ndb.Model):
    """Something that tasks read and change: a number, and the names of those who did."""

    number = ndb.IntegerProperty(indexed=False, default=0)
    history = ndb.TextProperty(default="")


class Note(ndb.Model):
    """Not flat: the fast path leaves it to ndb's own encoding."""

    words = ndb.StringProperty(repeated=True)


class Change(Task[dict[str, Any]]):
    """{"run": "x1", "steps": [["add", 0, 5], ["copy", 0, 1], ["delete", 2, 0], ["reject", 0, 0]]}"""

    name = "change"
    queues = ("q",)

    def parse(self, delivery: Delivery) -> dict[str, Any]:
        return json.loads(delivery.body)  # type: ignore[no-any-return]

    def apply(self, payload: dict[str, Any], delivery: Delivery, work: Work) -> None:
        for what, box, number in payload["steps"]:
            own = f"{payload['run']}-{box}"
            if what == "add":
                entity = work.get(Box, own)
                entity.number += number
                entity.history += f"{delivery.name[-1]}"
            elif what == "copy":
                source = work.read(Box, own)
                work.get(Box, f"{payload['run']}-{number}").number = source.number if source else -1
            elif what == "delete":
                work.delete(Box, own)
            elif what == "words":
                work.get(Note, own).words.append(str(number))
            elif what == "reject":
                raise Rejected("box", box, "another one")
            elif what == "fail":
                raise RuntimeError("the task's own fault")
            elif what == "plain get":
                ndb.Key(Box, own).get()
            elif what == "plain put":
                Box(id=own, number=number).put()
            elif what == "query":
                Box.query().fetch(1)


class ChangeAlone(Change):
    name = "change-alone"
    most_grouped = 1


def deliveries_of(run: str, steps: Sequence[Sequence[Any]]) -> list[Delivery]:
    return [
        delivery_of(json.dumps({"run": run, "steps": each}).encode(), name=f"{run}-{index}")
        for index, each in enumerate(steps)
    ]


def boxes(worker: Worker, run: str) -> list[tuple[int, str] | None]:
    with worker.database.context():
        found = worker.database.get([ndb.Key(Box, f"{run}-{box}") for box in range(3)])
    return [(box.number, box.history) if box else None for box in found]


def applier_of(worker: Worker, task: str = "change") -> Applier[Any]:
    return worker._lines[task].applier


STEP = st.one_of(
    st.tuples(st.just("add"), st.integers(0, 2), st.integers(-9, 9)),
    st.tuples(st.just("copy"), st.integers(0, 2), st.integers(0, 2)),
    st.tuples(st.just("delete"), st.integers(0, 2), st.just(0)),
)
TASKS = st.lists(st.lists(STEP, min_size=1, max_size=4), min_size=1, max_size=6)


@given(tasks=TASKS, cuts=st.lists(st.integers(1, 6), max_size=3))
@hypothesis_settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_grouping_comes_to_the_same_as_one_by_one(
    make_worker: MakeWorker, tasks: list[list[tuple[str, int, int]]], cuts: list[int]
) -> None:
    worker = make_worker(Change)
    applier = applier_of(worker)
    alone, grouped = secrets.token_hex(6), secrets.token_hex(6)

    for delivery in deliveries_of(alone, tasks):
        applier.apply([applier.receive(delivery)])
    rest = deliveries_of(grouped, tasks)
    for cut in [*cuts, len(rest)]:
        group, rest = rest[:cut], rest[cut:]
        if group:
            applier.apply([applier.receive(delivery) for delivery in group])

    assert boxes(worker, grouped) == boxes(worker, alone)


def test_tasks_of_a_group_that_find_nothing_do_not_overwrite_one_another(make_worker: MakeWorker) -> None:
    worker, run = make_worker(Change), secrets.token_hex(6)
    applier = applier_of(worker)

    applier.apply([applier.receive(each) for each in deliveries_of(run, [[["add", 0, 5]], [["add", 0, 7]]])])

    assert boxes(worker, run)[0] == (12, "01")


def test_an_entity_that_ndb_alone_can_write_is_written_with_the_rest(make_worker: MakeWorker) -> None:
    worker, run = make_worker(Change), secrets.token_hex(6)

    for delivery in deliveries_of(run, [[["words", 0, 1], ["add", 0, 5]], [["words", 0, 2]]]):
        assert worker.deliver("change", delivery) is Outcome.APPLIED

    with worker.database.context():
        assert ndb.Key(Note, f"{run}-0").get().words == ["1", "2"]
    assert boxes(worker, run)[0] == (5, "0")


@pytest.mark.parametrize("fault", ["reject", "fail"])
def test_a_group_names_the_task_that_raised_and_nothing_of_it_is_applied(
    make_worker: MakeWorker, fault: str
) -> None:
    worker, run = make_worker(Change), secrets.token_hex(6)
    applier = applier_of(worker)
    steps = [[["add", 0, 1]], [["add", 1, 1], [fault, 0, 0]], [["add", 2, 1]]]

    with pytest.raises(TaskRaised) as caught:
        applier.apply([applier.receive(each) for each in deliveries_of(run, steps)])

    assert caught.value.index == 1
    assert boxes(worker, run) == [None, None, None]


def test_a_task_that_is_rejected_in_the_transaction_leaves_nothing_but_its_record(
    make_worker: MakeWorker,
) -> None:
    worker, run = make_worker(Change), secrets.token_hex(6)
    [delivery] = deliveries_of(run, [[["add", 0, 1], ["reject", 0, 0]]])

    assert worker.deliver("change", delivery) is Outcome.REJECTED
    assert worker.deliver("change", Delivery(delivery.name, "q", body=delivery.body)) is Outcome.DUPLICATE
    assert boxes(worker, run)[0] is None


@pytest.mark.parametrize("fault", ["plain get", "query"])
def test_reading_past_the_unit_of_work_is_refused(make_worker: MakeWorker, fault: str) -> None:
    worker = make_worker(Change)
    [delivery] = deliveries_of(secrets.token_hex(6), [[[fault, 0, 0]]])

    with pytest.raises(PlainAccess, match=r"work\.get, work\.read, work\.delete"):
        worker.deliver("change", delivery)


@pytest.mark.parametrize("kind", ["change", "change-alone"])
def test_writing_past_the_unit_of_work_is_refused_and_writes_nothing(
    make_worker: MakeWorker, kind: str
) -> None:
    worker, run = make_worker(Change, ChangeAlone), secrets.token_hex(6)
    [delivery] = deliveries_of(run, [[["add", 1, 1], ["plain put", 0, 5]]])

    with pytest.raises((PlainAccess, UnsentWrites)):
        worker.deliver(kind, delivery)

    assert boxes(worker, run) == [None, None, None]


def test_a_kind_that_is_not_grouped_may_query(make_worker: MakeWorker) -> None:
    worker = make_worker(Change, ChangeAlone)
    [delivery] = deliveries_of(secrets.token_hex(6), [[["query", 0, 0], ["add", 0, 1]]])

    assert worker.deliver("change-alone", delivery) is Outcome.APPLIED


def test_a_commit_that_leaves_out_what_tasks_wrote_is_no_success(
    make_worker: MakeWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As if a release of ndb ended its transaction without sending everything."""
    worker, run = make_worker(Change), secrets.token_hex(6)
    stub = worker.database._client.stub
    sent = stub.commit.future

    def drop_one(request: Any, **how: Any) -> Any:
        del request._pb.mutations[0]
        return sent(request, **how)

    monkeypatch.setattr(stub.commit, "future", drop_one)
    [delivery] = deliveries_of(run, [[["add", 0, 1]]])
    with pytest.raises(UnsentWrites):
        worker.deliver("change", delivery)
    monkeypatch.undo()

    assert boxes(worker, run)[0] is None
    assert worker.deliver("change", delivery) is Outcome.APPLIED


def test_a_commit_that_is_never_sent_is_no_success(
    make_worker: MakeWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker = make_worker(Change)
    [delivery] = deliveries_of(secrets.token_hex(6), [[["add", 0, 1]]])

    class Answered:
        """The future of a commit that nobody sent."""

        def add_done_callback(self, callback: Any) -> None:
            callback(self)

        def exception(self) -> None:
            return None

        def result(self) -> Any:
            from google.cloud.datastore_v1.types import CommitResponse

            return CommitResponse()

    monkeypatch.setattr(worker.database._client.stub.commit, "future", lambda request, **how: Answered())
    with pytest.raises(UnsentWrites):
        worker.deliver("change", delivery)


class Fill(Task[int]):
    """Writes entities until a commit would be too large."""

    name = "fill"
    queues = ("q",)

    def parse(self, delivery: Delivery) -> int:
        return int(delivery.body)

    def apply(self, payload: int, delivery: Delivery, work: Work) -> None:
        for number in range(payload):
            work.get(Box, f"{delivery.name}-{number}").history = "x" * 900_000


def test_a_group_that_one_commit_can_not_hold_is_halved(make_worker: MakeWorker) -> None:
    worker = make_worker(Fill)
    applier, run = applier_of(worker, "fill"), secrets.token_hex(6)
    group = [applier.receive(delivery_of(b"4", name=f"{run}-{number}")) for number in range(3)]

    with pytest.raises(CommitTooLarge):
        applier.apply(group)

    with ThreadPoolExecutor(3) as pool:
        outcomes = pool.map(lambda each: worker.deliver("fill", each.delivery), group)
    assert list(outcomes) == [Outcome.APPLIED] * 3


def test_a_task_that_alone_is_too_large_for_a_commit_is_rejected(make_worker: MakeWorker) -> None:
    worker, name = make_worker(Fill), secrets.token_hex(6)

    assert worker.deliver("fill", delivery_of(b"12", name=name)) is Outcome.REJECTED

    with worker.database.context():
        assert TaskRecord.key_of("fill", name).get().outcome == "rejected"


def test_a_read_that_fails_while_a_task_is_applied_is_the_groups_failure_not_the_tasks(
    make_worker: MakeWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker = make_worker(Change)
    applier = worker._lines["change"].applier
    body = json.dumps({"run": secrets.token_hex(4), "steps": [["add", 0, 1]]}).encode()
    received = [applier.receive(delivery_of(body)) for _ in range(2)]
    fetch, calls = UnitOfWork.fetch, []

    def locked(unit: UnitOfWork, keys: Any) -> None:
        calls.append(keys)
        if len(calls) > 1:  # after the records and the statistics

            def refuse(keys: Sequence[ndb.Key]) -> list[ndb.Model | None]:
                raise Contention(f"others have locked {keys}")

            unit._lookup = refuse
        fetch(unit, keys)

    monkeypatch.setattr(UnitOfWork, "fetch", locked)
    with pytest.raises(Contention):
        applier.apply(received)


def test_follow_ups_that_no_entity_could_hold_are_rejected() -> None:
    work = Work(UnitOfWork(lambda keys: [None] * len(keys), 0, datetime.now(UTC)))
    for _ in range(10):
        work.enqueue(Change, "x" * 90_000)

    with pytest.raises(Rejected, match="follow-ups"):
        for _ in range(10):
            work.enqueue(Change, "x" * 90_000)
