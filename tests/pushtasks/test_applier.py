"""Applying exactly once, in a real Datastore through google-cloud-ndb."""

from __future__ import annotations

import json
import random
import secrets
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any

import pytest
from google.cloud import ndb

from counters import values
from counters.entities import CounterShard, shard_id
from counters.increment import Increment
from counters.settings import CounterSettings
from counters.update_counter import UpdateCounter
from pushtasks import statistics
from pushtasks.applier import Applier
from pushtasks.database import Database
from pushtasks.delivery import Delivery, Outcome
from pushtasks.entities import REJECTED, KeptTask, TaskRecord, TaskStatistics
from pushtasks.errors import Contention
from pushtasks.slots import Slot
from pushtasks.tally import Tally
from pushtasks.work import Work
from tests.conftest import StandingClock

Make = Callable[..., Delivery]


@pytest.fixture
def slot() -> Slot:
    return Slot(8, random.Random(5))


@pytest.fixture
def applier(
    database: Database, settings: CounterSettings, slot: Slot, clock: StandingClock, name: str
) -> Applier[Sequence[Increment]]:
    class OwnStatistics(UpdateCounter):
        """The counters' task under a name of the test's own, so that its statistics are too."""

    OwnStatistics.name = f"handler-{name}"
    return Applier(OwnStatistics(settings), database, settings, slot, clock=clock)


@pytest.fixture
def task(name: str, clock: StandingClock) -> Make:
    def make(body: str | None = None, **about: Any) -> Delivery:
        about.setdefault("name", secrets.token_hex(8))
        about.setdefault("enqueued_at", clock.now - timedelta(milliseconds=40))
        data = (body if body is not None else f"counter={name}&amount=5").encode()
        return Delivery(queue="q", body=data, **about)

    return make


@pytest.fixture
def apply(applier: Applier[Sequence[Increment]]) -> Callable[..., list[Outcome]]:
    def apply_all(*tasks: Delivery, **how: bool) -> list[Outcome]:
        results = applier.apply([applier.receive(each) for each in tasks], **how)
        return [result.outcome for result in results]

    return apply_all


@pytest.fixture
def value(database: Database, name: str) -> Callable[[], int | None]:
    def value_now() -> int | None:
        with database.context():
            counter = values.counter(database, name)
        return counter.value if counter else None

    return value_now


@pytest.fixture
def tally(database: Database, name: str, clock: StandingClock) -> Callable[[], Tally]:
    def tally_now() -> Tally:
        with database.context():
            keys = [TaskStatistics.key_of(f"handler-{name}", slot) for slot in range(8)]
            slots = [entity for entity in database.get(keys) if entity]
        return statistics.summed(f"handler-{name}", slots, clock.now).total

    return tally_now


Apply = Callable[..., list[Outcome]]
Value = Callable[[], int | None]
Tallied = Callable[[], Tally]


def test_a_task_is_applied_and_recorded(
    apply: Apply, task: Make, value: Value, database: Database, name: str, clock: StandingClock
) -> None:
    delivered = task(retry_count=2)

    assert apply(delivered) == [Outcome.APPLIED]

    assert value() == 5
    with database.context():
        record = TaskRecord.key_of(f"handler-{name}", delivered.name).get()
    assert (record.outcome, json.loads(record.note), record.attempts) == (
        "applied",
        {"counter": name, "amount": 5},
        3,
    )
    assert record.expire_at == clock.now + timedelta(days=90)
    assert record.delivery_id == delivered.id


def test_the_same_task_again_changes_nothing_however_often(
    apply: Apply, task: Make, value: Value, tally: Tallied
) -> None:
    apply(task(name="once"))

    assert [apply(task(name="once", retry_count=n)) for n in range(1, 4)] == [[Outcome.DUPLICATE]] * 3
    assert value() == 5
    assert (tally().applied, tally().duplicates) == (1, 3)


def test_a_slow_attempt_that_a_later_one_overtook_counts_once(
    apply: Apply, task: Make, tally: Tallied
) -> None:
    assert apply(task(name="overtaken", retry_count=1)) == [Outcome.APPLIED]
    assert apply(task(name="overtaken", retry_count=0)) == [Outcome.DUPLICATE]

    assert tally().retry_amplification == 2.0, "two deliveries of one task"

    assert apply(task(name="overtaken", retry_count=1)) == [Outcome.DUPLICATE]
    assert tally().retry_amplification == 3.0


def test_our_own_earlier_commit_is_not_taken_for_a_duplicate(
    apply: Apply, task: Make, value: Value, tally: Tallied
) -> None:
    delivered = task()

    assert apply(delivered) == apply(delivered) == [Outcome.APPLIED]
    assert value() == 5
    assert (tally().applied, tally().duplicates) == (1, 0)


def test_a_group_gives_each_task_its_own_outcome(
    apply: Apply, task: Make, value: Value, tally: Tallied, name: str
) -> None:
    apply(task(name="old"))

    outcomes = apply(
        task(name="new"), task(name="old"), task(f"counter={name}&amount=x", name="bad"), task(name="new")
    )

    assert outcomes == [Outcome.APPLIED, Outcome.DUPLICATE, Outcome.REJECTED, Outcome.DUPLICATE]
    assert value() == 10
    assert (tally().applied, tally().duplicates, tally().rejected) == (2, 2, 1)


def test_a_group_over_several_counters_sums_each(
    apply: Apply, task: Make, database: Database, name: str
) -> None:
    counters = [f"{name}-{number}" for number in range(5)]

    apply(*(task(f"counter={each}&amount={amount}") for each in counters for amount in (3, -1, 10)))

    with database.context():
        assert [values.counter(database, each).value for each in counters] == [12] * 5  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("amount=1", "counter: expected 1 to 100 of letters"),
        ("counter=a b&amount=1", "counter: expected 1 to 100 of letters"),
        ("counter=" + "x" * 101 + "&amount=1", "counter: expected 1 to 100 of letters"),
        ("counter=a", "amount: expected a whole number"),
        ("counter=a&amount=", "amount: expected a whole number"),
        ("counter=a&amount=abc", "amount: expected a whole number"),
        ("counter=a&amount=1.5", "amount: expected a whole number"),
        ("counter=a&amount=0", "amount: expected a whole number"),
        ("counter=a&amount=2147483648", "amount: expected a whole number"),
        ('{"counter": "a", ', "body: expected JSON"),
        ("counter=%ff&amount=1", "body: expected percent-encoded UTF-8"),
    ],
)
def test_what_can_never_be_applied_is_kept_with_its_reason_once(
    apply: Apply, task: Make, tally: Tallied, database: Database, name: str, body: str, reason: str
) -> None:
    outcomes = [apply(task(body, name="hopeless", headers={"x-some": "header"})) for _ in range(3)]

    assert outcomes == [[Outcome.REJECTED], [Outcome.DUPLICATE], [Outcome.DUPLICATE]]
    with database.context():
        record = TaskRecord.key_of(f"handler-{name}", "hopeless").get()
        kept = ndb.Key(KeptTask, record.key.id()).get()
    assert record.outcome == REJECTED
    assert kept.reason.startswith(reason)
    assert kept.payload == body.encode()
    assert kept.headers == {"x-some": "header"}
    assert (tally().applied, tally().rejected) == (0, 1)


def test_a_rejected_payload_that_no_entity_could_hold_is_cut(
    apply: Apply, task: Make, database: Database, name: str
) -> None:
    assert apply(task("x" * 2_000_000, name="huge")) == [Outcome.REJECTED]

    with database.context():
        record = TaskRecord.key_of(f"handler-{name}", "huge").get()
        assert len(ndb.Key(KeptTask, record.key.id()).get().payload) == 900_000


def test_a_task_too_old_to_be_proven_unapplied_is_rejected_not_counted(
    apply: Apply, task: Make, value: Value, clock: StandingClock
) -> None:
    old = clock.now - timedelta(days=89, seconds=1)

    assert apply(task(enqueued_at=old)) == [Outcome.REJECTED]
    assert value() is None
    assert apply(task(enqueued_at=clock.now - timedelta(days=89))) == [Outcome.APPLIED]


def test_an_old_task_that_was_applied_is_a_duplicate_even_past_its_records_end(
    apply: Apply, task: Make, value: Value, clock: StandingClock
) -> None:
    enqueued_at = clock.now
    apply(task(name="slow", enqueued_at=enqueued_at))
    clock.advance(days=91)

    assert apply(task(name="slow", enqueued_at=enqueued_at)) == [Outcome.DUPLICATE]
    assert value() == 5


def test_a_task_from_the_far_future_is_rejected(apply: Apply, task: Make, clock: StandingClock) -> None:
    assert apply(task(enqueued_at=clock.now + timedelta(days=2))) == [Outcome.REJECTED]


def test_a_task_without_its_time_is_applied(apply: Apply, task: Make, tally: Tallied) -> None:
    assert apply(task(enqueued_at=None)) == [Outcome.APPLIED]
    assert tally().latency_samples == 0


def test_statistics_tell_attempts_latency_and_first_attempt_success(
    apply: Apply, task: Make, tally: Tallied
) -> None:
    apply(task(retry_count=0), task(retry_count=0), task(retry_count=0), task(retry_count=6))

    assert tally().by_attempts == [3, 0, 0, 0, 1, 0]
    assert tally().first_attempt_success == 0.75
    assert tally().retry_amplification == 10 / 4
    assert tally().most_attempts == 7
    assert 25 <= (tally().latency_percentile_ms(50) or 0) <= 64


def test_the_hours_ring_forgets_what_is_older(
    apply: Apply, task: Make, database: Database, name: str, clock: StandingClock, slot: Slot
) -> None:
    apply(task())
    clock.advance(minutes=59)
    apply(task())
    with database.context():
        entity = TaskStatistics.key_of(f"handler-{name}", slot.number).get()
    assert statistics.summed("h", [entity], clock.now).last_hour.applied == 2
    clock.advance(minutes=1)
    assert statistics.summed("h", [entity], clock.now).last_hour.applied == 1
    assert statistics.summed("h", [entity], clock.now).total.applied == 2


def test_a_group_reads_and_writes_each_record_once_and_shard_and_statistics_once(
    apply: Apply, task: Make, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(2):  # the second finds the counter registered, and remembers it
        apply(task())
    calls: list[str] = []
    stub = database._client.stub
    for method in ("lookup", "begin_transaction", "commit"):
        original = getattr(stub, method).future

        def counted(request: Any, _name: str = method, _original: Any = original, **how: Any) -> Any:
            call = _original(request, **how)
            message = getattr(request, "_pb", request)
            size = len(message.keys) if _name == "lookup" else len(getattr(message, "mutations", ()))
            calls.append(f"{_name} {size}")
            return call

        monkeypatch.setattr(getattr(stub, method), "future", counted)

    apply(*(task() for _ in range(30)))

    assert calls == ["lookup 32", "commit 32"]


def test_a_task_that_fails_writes_nothing(
    apply: Apply,
    task: Make,
    value: Value,
    tally: Tallied,
    applier: Applier[Sequence[Increment]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def broken(increments: Sequence[Increment], delivery: Delivery, work: Work) -> None:
        work.get(CounterShard, f"{increments[0].counter}:0").value += 5
        raise RuntimeError("the task failed")

    delivered = task()
    monkeypatch.setattr(applier.task, "apply", broken)
    with pytest.raises(RuntimeError, match="the task failed"):
        apply(delivered)
    monkeypatch.undo()

    assert value() is None
    assert tally().applied == 0
    assert apply(delivered) == [Outcome.APPLIED]


def test_contention_is_said_so_and_the_next_try_succeeds(
    apply: Apply, task: Make, value: Value, database: Database, name: str, slot: Slot
) -> None:
    apply(task())
    other = Database("test-project", timeout_s=20)
    delivered = task()

    with other.context():
        shard = ndb.Key(CounterShard, shard_id(name, slot.number % 4))

        def holding() -> None:
            entity = shard.get()
            entity.tasks_retried = 0
            with pytest.raises(Exception) as caught:
                apply_in_thread(lambda: apply(delivered))
            assert isinstance(caught.value, Contention) or "did not answer" in str(caught.value)

        ndb.transaction(holding, retries=0)

    assert apply(delivered) == [Outcome.APPLIED]
    assert value() == 10


def apply_in_thread(call: Callable[[], Any]) -> Any:
    """Run in a thread of its own: ndb allows one context a thread."""
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(1) as pool:
        return pool.submit(call).result(timeout=30)


def test_a_delivery_keeps_the_problem_that_its_payload_has(
    applier: Applier[Sequence[Increment]], task: Make
) -> None:
    good, bad = applier.receive(task()), applier.receive(task("counter=a"))

    assert good.payload is not None
    assert good.problem is None
    assert bad.payload is None
    assert bad.problem is not None


def test_a_batch_is_one_task_with_one_record_and_one_write_for_each_counter(
    apply: Apply, task: Make, database: Database, name: str
) -> None:
    increments = [{"counter": f"{name}-{number % 3}", "amount": number + 1} for number in range(9)]
    batch = task(json.dumps({"increments": increments}), content_type="application/json")

    assert apply(batch) == [Outcome.APPLIED]
    assert apply(batch) == [Outcome.APPLIED], "our own earlier commit"

    with database.context():
        record = TaskRecord.key_of(f"handler-{name}", batch.name).get()
        found = [values.counter(database, f"{name}-{number}") for number in range(3)]
    sums = {f"{name}-0": 12, f"{name}-1": 15, f"{name}-2": 18}
    assert json.loads(record.note) == {"increments": 9, "amount": 45, "counters": sums}
    assert [(each.value, each.increments, each.tasks_applied) for each in found if each] == [
        (12, 3, 1),
        (15, 3, 1),
        (18, 3, 1),
    ]


def test_the_largest_batch_is_applied_and_its_note_tells_the_sum(
    apply: Apply, task: Make, database: Database, name: str
) -> None:
    counters = [f"{name}-{number}".ljust(100, "x") for number in range(400)]
    increments = [{"counter": counter, "amount": 2**31 - 1} for counter in counters]

    batch = task(json.dumps({"increments": increments}), content_type="application/json")
    assert apply(batch) == [Outcome.APPLIED]
    assert apply(task(batch.body.decode(), content_type="application/json")) == [Outcome.APPLIED]

    with database.context():
        record = TaskRecord.key_of(f"handler-{name}", batch.name).get()
        last = values.counter(database, counters[-1])
    assert json.loads(record.note) == {"increments": 400, "amount": 400 * (2**31 - 1)}
    assert last is not None
    assert last.value == 2 * (2**31 - 1)


def test_a_value_that_64_bits_can_not_hold_is_rejected(
    apply: Apply, task: Make, database: Database, slot: Slot, name: str
) -> None:
    apply(task())
    with database.context():
        shard = CounterShard(id=f"{name}:{slot.number % 4}", value=2**63 - 3, tasks_applied=1)
        database.put(shard)

    assert apply(task()) == [Outcome.REJECTED]
    assert apply(task(f"counter={name}&amount=2")) == [Outcome.APPLIED]


def test_a_tasks_age_counts_from_the_time_that_it_was_first_due(
    apply: Apply, task: Make, clock: StandingClock
) -> None:
    planned = {"enqueued_at": clock.now - timedelta(days=120), "due_at": clock.now - timedelta(days=1)}

    assert apply(task(**planned)) == [Outcome.APPLIED]
    assert apply(task(enqueued_at=planned["enqueued_at"])) == [Outcome.REJECTED]
