"""A counter's history: as exact as its value, whatever the clocks do, and small."""

from __future__ import annotations

import random
from datetime import timedelta

import pytest

from counters import history, values
from counters.update_counter import UpdateCounter
from counters.values import CounterValue
from pushtasks.ring import SCALES, SPANS
from pushtasks.testing import perform
from pushtasks.worker import Worker
from tests.conftest import StandingClock
from tests.pushtasks.conftest import MakeWorker


@pytest.fixture
def worker(make_worker: MakeWorker) -> Worker:
    return make_worker(UpdateCounter)


def read(worker: Worker, counter: str) -> CounterValue:
    with worker.database.context():
        found = values.counter(worker.database, counter)
    assert found is not None
    return found


def add(worker: Worker, counter: str, amount: int) -> None:
    perform(worker, UpdateCounter, {"counter": counter, "amount": amount})


def test_what_was_added_shows_in_its_minute_hour_and_day(
    worker: Worker, name: str, clock: StandingClock
) -> None:
    add(worker, name, 5)
    clock.advance(minutes=2)
    add(worker, name, -2)
    clock.advance(hours=3)
    add(worker, name, 100)

    found = read(worker, name).history(SPANS.values(), clock.now)

    assert [point.amount for point in found["hour"].points][-1:] == [100]
    assert found["hour"].value_before == 3
    day = [(point.amount, point.increments) for point in found["day"].points]
    assert (len(day), day[-4], day[-1]) == (24, (3, 2), (100, 1))
    assert len(found["week"].points) == 168
    year = found["year"].points
    assert (len(year), year[-1].amount, year[-1].increments) == (400, 103, 3)
    assert [each.value_before for each in found.values()] == [3, 0, 0, 0]


def test_tasks_that_share_a_transaction_are_all_in_the_history(
    worker: Worker, name: str, clock: StandingClock
) -> None:
    batch = {"increments": [{"counter": name, "amount": amount} for amount in (1, 2, 3)]}
    perform(worker, UpdateCounter, batch)

    [*_, last] = read(worker, name).history([SPANS["hour"]], clock.now)["hour"].points

    assert (last.amount, last.increments) == (6, 3)


def test_before_and_each_ring_are_the_value_though_the_clock_jumps_and_slots_change(
    worker: Worker, name: str, clock: StandingClock
) -> None:
    chance = random.Random(7)
    added = 0
    clock.now -= timedelta(days=20 * 365)  # a jump into the future would stay in other tests' rings
    for jump_s in (0, 61, -200, 3600, 90_000, -90_000, 4 * 10**7, -(4 * 10**7), 0, 5, 10**8, -(10**8), 60):
        clock.now += timedelta(seconds=jump_s)
        amount = chance.randrange(-1000, 1000) or 1
        worker.slot.redraw()
        add(worker, name, amount)
        added += amount

    counter = read(worker, name)
    assert counter.value == added
    for scale in SCALES:
        rings = [history.ring_of(shard.history, scale) for shard in counter.shards]
        rows = [row for ring in rings for row in (ring.before, *ring.rows.values()) if row]
        assert [sum(column) for column in zip(*rows, strict=True)] == [added, 13]


def test_a_task_that_is_not_applied_leaves_no_trace_in_the_history(
    worker: Worker, name: str, clock: StandingClock
) -> None:
    add(worker, name, 5)
    perform(worker, UpdateCounter, {"counter": name, "amount": 0})

    assert (
        sum(each.increments for each in read(worker, name).history([SPANS["day"]], clock.now)["day"].points)
        == 1
    )


def test_a_shard_with_full_rings_stays_below_8_kb(clock: StandingClock) -> None:
    chance = random.Random(3)
    packed, value, increments = None, 0, 0
    # 400 days, the last week of them hour by hour, the last hour minute by minute: some 50 increments a
    # second of any size that there is.
    steps = [timedelta(days=1)] * 400 + [timedelta(hours=1)] * 168 + [timedelta(minutes=1)] * 60
    for step in steps:
        count = int(step.total_seconds()) * 50
        value += int(chance.gauss(0, count**0.5 * 2**31))
        increments += chance.randrange(count // 2, count)
        clock.now += step
        packed = history.extended(packed, value, increments, clock.now)

    assert packed is not None
    assert all(len(history.ring_of(packed, scale).rows) == scale.length for scale in SCALES)
    names_and_numbers = 500  # what else a shard holds, at the most
    assert 4000 < len(packed) < 8192 - names_and_numbers


def test_the_api_of_a_counter_that_has_no_history_yet_shows_empty_periods(clock: StandingClock) -> None:
    found = history.of_counter([None], 7, [SPANS["hour"]], clock.now)["hour"]
    assert (found.value_before, {point.amount for point in found.points}) == (7, {0})
