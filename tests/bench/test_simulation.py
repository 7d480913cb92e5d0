"""The scale simulation: threads on virtual time, and a model that limits what it says it limits."""

from __future__ import annotations

import random
import threading

from bench.platform_model import Books, Datastore, Scale
from bench.simulate import simulate
from bench.virtual import World
from pushtasks import group
from pushtasks.errors import Contention

SMALL = Scale(demand_per_s=100, instances=4)


def test_sleeping_threads_take_turns_on_a_clock_that_jumps() -> None:
    world = World()
    seen: list[tuple[str, float]] = []

    def thread(name: str, seconds: float) -> None:
        for _ in range(2):
            world.sleep(seconds)
            seen.append((name, world.now_s))

    world.start(lambda: thread("slow", 3600))
    world.start(lambda: thread("quick", 1800.5))
    world.run(10_000)

    assert seen == [("quick", 1800.5), ("slow", 3600), ("quick", 3601), ("slow", 7200)]
    assert world.now_s == 10_000


def test_a_lock_is_held_by_one_and_handed_on_in_order() -> None:
    world = World()
    lock = world.lock()
    entered: list[tuple[int, float]] = []

    def thread(number: int) -> None:
        with lock:
            entered.append((number, world.now_s))
            world.sleep(1)

    for number in range(3):
        world.start(lambda number=number: thread(number))  # type: ignore[misc]
    world.run(10)

    assert entered == [(0, 0), (1, 1), (2, 2)]


def test_the_committers_real_locks_are_back_after_a_simulation() -> None:
    simulate(SMALL, settle_s=0.1, measure_s=0.1)

    assert vars(group)["threading"] is threading


def test_an_entity_bears_a_burst_and_then_its_sustained_rate() -> None:
    world = World()
    datastore = Datastore(world, Scale(1, 1, shards=1, slots=1), random.Random(1), Books())
    outcomes: list[bool] = []

    def write_for_ever() -> None:
        while True:
            try:
                datastore.apply(0, [])
                outcomes.append(True)
            except Contention:
                outcomes.append(False)
            world.sleep(0.02)

    world.start(write_for_ever)
    world.run(20)

    assert all(outcomes[:10])
    assert 28 <= sum(outcomes) <= 30, "ten at once, and one a second for twenty seconds"


def test_a_simulation_is_repeated_exactly_by_its_seed() -> None:
    first, again, other = (simulate(SMALL, seed, 1, 2) for seed in (1, 1, 2))

    assert first == again
    assert first != other


def test_where_nothing_limits_what_is_asked_is_applied_without_a_conflict() -> None:
    result = simulate(
        Scale(demand_per_s=300, instances=4, shards=64, slots=64, writes_per_entity_s=100),
        settle_s=2,
        measure_s=4,
    )

    assert result.keeps_up
    assert result.aborted_share == 0
    assert result.p95_s < 0.5


def test_one_queue_ends_at_500_a_second() -> None:
    result = simulate(
        Scale(demand_per_s=1000, instances=8, queues=1, shards=64, slots=64, writes_per_entity_s=100),
        settle_s=2,
        measure_s=4,
    )

    assert 480 <= result.applied_per_s <= 510


def test_contention_makes_groups_larger_instead_of_making_the_service_collapse() -> None:
    """Four shards of which each bears one write a second, at 200 increments a second."""
    result = simulate(Scale(demand_per_s=200, instances=8), settle_s=10, measure_s=20)

    assert result.applied_per_s > 150
    assert result.mean_group > 30
