"""A queue slows down under 503 and floods of errors, and speeds up again."""

from __future__ import annotations

import itertools

from localcloud.tasks.messages import Task
from localcloud.tasks.outcome import Outcome
from localcloud.tasks.queue_config import QueueConfig
from localcloud.tasks.retry import RetryPolicy

from tests.tasks.virtual import BROKEN, OK, World

OVERLOADED = Outcome(503)
TOO_MANY = Outcome(429)
AT_ONCE = RetryPolicy(min_backoff_us=0, max_backoff_us=0)


def test_503_halves_the_rate_of_the_whole_queue() -> None:
    world = World(QueueConfig(rate_per_second=100, burst=1), [OVERLOADED, OK])
    for _ in range(4):
        world.add()
    world.clock.advance(0.09)
    # The retry of the first one, after 0.1 s, is still to come; the others leave at 50/s instead of 100/s.
    assert world.times_ms() == [0, 20, 40, 60]
    assert world.notes.rates == [50]


def test_one_moment_of_503_is_one_slow_down() -> None:
    world = World(QueueConfig(rate_per_second=100, burst=50), [OVERLOADED])
    for _ in range(40):
        world.add()
    world.clock.advance(0.05)
    assert world.notes.rates == [50]


def test_lasting_503_slows_down_to_one_a_second_and_no_further() -> None:
    world = World(QueueConfig(rate_per_second=100, burst=1, retry=AT_ONCE), [OVERLOADED])
    world.add()
    world.clock.advance(60)
    assert world.dispatcher.effective_rate_per_second == 1
    sent = len(world.times_ms())
    world.clock.advance(10)
    assert len(world.times_ms()) == sent + 10


def test_a_recovered_target_gets_the_full_rate_back_within_seconds() -> None:
    config = QueueConfig(rate_per_second=100, burst=1, retry=AT_ONCE)
    world = World(config, [*[OVERLOADED] * 70, OK])
    world.add()
    while world.queue.tasks:
        world.clock.advance(1)
    for _ in range(2000):
        world.add()
    before = len(world.notes.rates)
    world.clock.advance(9)
    rises = world.notes.rates[before:]
    assert rises[-1] == world.dispatcher.effective_rate_per_second == 100
    assert all(later == earlier * 2 for earlier, later in itertools.pairwise(rises))


def test_a_rate_below_one_a_second_is_not_raised_by_slowing_down() -> None:
    world = World(QueueConfig(rate_per_second=0.5, burst=1, retry=AT_ONCE), [OVERLOADED])
    world.add()
    world.clock.advance(60)
    assert world.dispatcher.effective_rate_per_second == 0.5


def test_429_slows_an_http_queue_down_but_not_an_app_engine_one() -> None:
    http = Task()
    http.http_request.url = "http://127.0.0.1/work"
    world = World(QueueConfig(rate_per_second=100, burst=1), [TOO_MANY])
    world.add(message=http)
    world.clock.advance(0.05)
    assert world.dispatcher.effective_rate_per_second == 50
    world = World(QueueConfig(rate_per_second=100, burst=1), [TOO_MANY])
    world.add()
    world.clock.advance(0.05)
    assert world.dispatcher.effective_rate_per_second == 100


def test_a_few_errors_do_not_slow_a_queue_down_but_a_flood_of_them_does() -> None:
    world = World(QueueConfig(rate_per_second=100, burst=100), [BROKEN])
    for _ in range(19):
        world.add()
    world.clock.advance(0.01)
    assert world.notes.rates == []
    world.add()
    world.clock.advance(0.01)
    assert world.notes.rates == [50]


def test_errors_among_many_successes_do_not_slow_a_queue_down() -> None:
    world = World(QueueConfig(rate_per_second=500, burst=500), [OK, OK, BROKEN] * 100)
    for _ in range(200):
        world.add()
    world.clock.advance(0.01)
    assert world.notes.rates == []
