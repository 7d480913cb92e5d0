"""UpdateCounter on a real Datastore: singles and batches, one transaction and one record for each task."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from google.cloud import ndb

from counters import values
from counters.entities import Counter, CounterShard, shard_id
from counters.settings import CounterSettings
from counters.tasks import TASKS
from counters.update_counter import UpdateCounter
from pushtasks.database import Database
from pushtasks.delivery import Delivery, Outcome
from pushtasks.entities import KeptTask, TaskRecord
from pushtasks.worker import Worker
from tests.conftest import StandingClock

LARGEST, SMALLEST = 2**31 - 1, -(2**31)

Deliver = Callable[..., Outcome]


@pytest.fixture(params=["on", "off"])
def worker(
    request: pytest.FixtureRequest, settings: CounterSettings, database: Database, clock: StandingClock
) -> Worker:
    """With the fast path past ndb, and without."""
    return Worker(replace(settings, fast_path_switch=request.param), TASKS, clock=clock)


def deliver(worker: Worker, task: str, payload: object, retry_count: int = 0) -> Outcome:
    delivery = Delivery(
        name=task,
        queue="counter-updates-0",
        retry_count=retry_count,
        content_type="application/json",
        body=json.dumps(payload).encode(),
    )
    return worker.deliver("update-counter", delivery)


def batch(*increments: tuple[str, int]) -> dict[str, object]:
    return {"increments": [{"counter": counter, "amount": amount} for counter, amount in increments]}


@pytest.fixture
def counter(database: Database) -> Callable[[str], values.CounterValue | None]:
    def counter_now(name: str) -> values.CounterValue | None:
        with database.context():
            return values.counter(database, name)

    return counter_now


@pytest.fixture
def recorded(database: Database) -> Callable[[str], Any]:
    """The record of a task."""

    def record_of(task: str) -> Any:
        with database.context():
            return TaskRecord.key_of("update-counter", task).get()

    return record_of


def test_a_batch_adds_to_all_of_its_counters_and_counts_tasks_and_increments_apart(
    worker: Worker, counter: Callable[[str], Any], recorded: Callable[[str], Any], name: str
) -> None:
    a, b = f"{name}-a", f"{name}-b"
    payload = batch((a, 5), (b, -2), (a, 1))

    outcomes = [deliver(worker, name, payload, retry_count) for retry_count in (2, 3)]
    deliver(worker, f"{name}-2", {"counter": a, "amount": 100})

    assert outcomes == [Outcome.APPLIED, Outcome.DUPLICATE]
    found = {each: counter(each) for each in (a, b)}
    assert {each: value.value for each, value in found.items()} == {a: 106, b: -2}
    assert [value.increments for value in found.values()] == [3, 1]
    assert [value.tasks_applied for value in found.values()] == [2, 1]
    assert [value.tasks_retried for value in found.values()] == [1, 1]
    assert json.loads(recorded(name).note) == {"increments": 3, "amount": 4, "counters": {a: 6, b: -2}}
    assert json.loads(recorded(f"{name}-2").note) == {"counter": a, "amount": 100}


@pytest.mark.parametrize("amount", [LARGEST, SMALLEST])
def test_400_counters_with_the_largest_names_and_amounts_fit_into_one_transaction(
    worker: Worker, database: Database, recorded: Callable[[str], Any], name: str, amount: int
) -> None:
    names = [f"{name}.{number:03d}.".ljust(100, "x") for number in range(400)]
    increments = [(names[index % 400], amount) for index in range(1000)]

    assert deliver(worker, name, batch(*increments)) is Outcome.APPLIED

    with database.context():
        shards = ndb.get_multi(
            [ndb.Key(CounterShard, shard_id(each, worker.slot.number % 4)) for each in names]
        )
    assert [shard.value for shard in shards] == [3 * amount] * 200 + [2 * amount] * 200
    assert json.loads(recorded(name).note) == {"increments": 1000, "amount": 1000 * amount}


@pytest.mark.parametrize(
    ("payload", "field"),
    [
        ({"increments": []}, "increments"),
        ({"increments": "x"}, "increments"),
        ({"increments": [{"counter": "a", "amount": 1}] * 1001}, "increments"),
        (batch(*((f"c{number}", 1) for number in range(401))), "increments"),
        ({"increments": [{"counter": "a", "amount": 1}, "x"]}, "increments[1]"),
        ({"increments": [{"counter": "a", "amount": 1}, {"counter": "a"}]}, "amount"),
        ({"increments": [{"counter": "a", "amount": 1}, {"amount": 1}]}, "counter"),
        ({"counter": "a"}, "amount"),
    ],
)
def test_a_batch_with_anything_wrong_in_it_is_kept_as_a_whole(
    worker: Worker, database: Database, name: str, payload: object, field: str
) -> None:
    assert deliver(worker, name, payload) is Outcome.REJECTED

    with database.context():
        kept = ndb.Key(KeptTask, TaskRecord.key_of("update-counter", name).id()).get()
        assert ndb.Key(Counter, "a").get() is None
    assert kept.reason.startswith(f"{field}: expected ")


@pytest.mark.parametrize(("stored", "amount"), [(2**63 - 1, 1), (-(2**63), -1)])
def test_of_a_batch_that_would_leave_64_bits_nothing_is_applied(
    worker: Worker, database: Database, counter: Callable[[str], Any], name: str, stored: int, amount: int
) -> None:
    full, other = f"{name}-full", f"{name}-other"
    with database.context():
        Counter(id=full, shards=1).put()
        CounterShard(id=shard_id(full, 0), value=stored, increments=1, tasks_applied=1).put()

    assert deliver(worker, name, batch((other, 1), (full, amount))) is Outcome.REJECTED
    assert deliver(worker, f"{name}-2", batch((other, 1), (full, -amount))) is Outcome.APPLIED

    assert (counter(full).value, counter(other).value) == (stored - amount, 1)


def test_the_number_of_shards_is_the_counters_own_and_remembered_once_it_is_stored(
    worker: Worker, settings: CounterSettings, database: Database, name: str
) -> None:
    task: Any = worker.kinds.of(UpdateCounter)
    deliver(worker, f"{name}-1", {"counter": name, "amount": 1})
    assert name not in task._shards, "it was made, and perhaps never committed"
    deliver(worker, f"{name}-2", {"counter": name, "amount": 1})
    assert task._shards[name] == 4

    later = Worker(replace(settings, shards=32), TASKS)
    later.slot.number = 7
    deliver(later, f"{name}-3", {"counter": name, "amount": 1})
    with database.context():
        assert ndb.Key(Counter, name).get().shards == 4
        assert ndb.Key(CounterShard, shard_id(name, 7 % 4)).get() is not None
        assert ndb.Key(CounterShard, shard_id(name, 7)).get() is None
        assert values.counter(database, name).value == 3  # type: ignore[union-attr]
