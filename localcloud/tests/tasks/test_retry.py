"""The backoff sequence and the limits of retrying, by the documented numbers."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from localcloud.tasks.clock import SECOND_US
from localcloud.tasks.http_response import MAX_RETRY_AFTER_SECONDS
from localcloud.tasks.messages import Task
from localcloud.tasks.outcome import Outcome
from localcloud.tasks.queue_config import QueueConfig
from localcloud.tasks.retry import MAX_DURATION_SECONDS, RetryPolicy

from tests.tasks.virtual import BROKEN, OK, UNREACHABLE, World


def policy(low: float, high: float, doublings: int) -> RetryPolicy:
    return RetryPolicy(
        min_backoff_us=round(low * SECOND_US), max_backoff_us=round(high * SECOND_US), max_doublings=doublings
    )


@pytest.mark.parametrize(
    ("low", "high", "doublings", "expected"),
    [
        # The example in the documentation of RetryConfig.max_doublings.
        (10, 300, 3, [10, 20, 40, 80, 160, 240, 300, 300]),
        (10, 200, 0, [*range(10, 200, 10), 200, 200]),
        (10, 3600, 3, [10, 20, 40, 80, 160, 240, 320, 400, 480]),
        (0.1, 3600, 16, [*(0.1 * 2**k for k in range(16)), 3600, 3600]),
        (1, 5, 2, [1, 2, 4, 5, 5]),
        (0, 5, 2, [0, 0, 0, 0, 0]),
    ],
)
def test_backoff_doubles_then_grows_linearly_then_stays(
    low: float, high: float, doublings: int, expected: list[float]
) -> None:
    delays = [policy(low, high, doublings).backoff_us(k) / SECOND_US for k in range(1, len(expected) + 1)]
    assert delays == pytest.approx(expected)


@given(st.integers(1, 10**6), st.integers(0, 10**9), st.integers(0, 10**10), st.integers(0, 2000))
def test_backoff_never_shrinks_and_never_passes_its_maximum(
    retry: int, low_us: int, high_us: int, doublings: int
) -> None:
    retries = RetryPolicy(min_backoff_us=low_us, max_backoff_us=high_us, max_doublings=doublings)
    assert retries.backoff_us(retry) <= retries.backoff_us(retry + 1) <= high_us


def test_attempts_take_place_at_exactly_these_milliseconds() -> None:
    world = World(QueueConfig(retry=policy(0.5, 300, 10)), [BROKEN])
    world.add()
    world.clock.advance(32)
    assert world.times_ms() == [0, 500, 1500, 3500, 7500, 15500, 31500]


def test_the_delay_counts_from_the_failure_not_from_the_dispatch() -> None:
    world = World(QueueConfig(retry=policy(1, 300, 10)), [BROKEN, BROKEN, OK], takes_seconds=0.25)
    world.add()
    world.clock.advance(10)
    assert world.times_ms() == [0, 1250, 3500]


def test_each_attempt_tells_how_many_there_were_and_how_many_were_answered() -> None:
    world = World(QueueConfig(), [BROKEN, UNREACHABLE, BROKEN, OK])
    world.add()
    world.clock.advance(10)
    counts = [(delivery.retry_count, delivery.execution_count) for delivery in world.target.deliveries]
    assert counts == [(0, 0), (1, 1), (2, 1), (3, 2)]
    assert [delivery.previous for delivery in world.target.deliveries] == [None, BROKEN, UNREACHABLE, BROKEN]
    assert world.queue.tasks == {}


@pytest.mark.parametrize(
    ("max_attempts", "age_seconds", "attempts"),
    [
        (3, 0, 3),  # attempts alone decide
        (1, 0, 1),  # task_retry_limit: 0
        (-1, 5, 6),  # age alone: at 0, 1, 2, 3, 4 and 5 s; that at 5 s is the last to fail within 5 s
        (3, 5, 6),  # both: ends only when both are exhausted
        (10, 5, 10),
    ],
)
def test_a_task_is_given_up_when_all_its_limits_are_exhausted(
    max_attempts: int, age_seconds: int, attempts: int
) -> None:
    retries = RetryPolicy(
        max_attempts=max_attempts,
        max_retry_duration_us=age_seconds * SECOND_US,
        min_backoff_us=SECOND_US,
        max_backoff_us=SECOND_US,
    )
    world = World(QueueConfig(retry=retries), [BROKEN], takes_seconds=0.001)
    world.add()
    world.clock.advance(60)
    assert len(world.times_ms()) == attempts
    assert world.notes.given_up == ["task-1"]
    assert world.notes.removed == ["task-1"]


def test_without_limits_a_task_is_retried_for_ever() -> None:
    world = World(QueueConfig(), [BROKEN])
    world.add()
    world.clock.advance(30 * 24 * 3600)
    assert len(world.times_ms()) > 700
    assert not world.notes.given_up


def test_a_tasks_own_retry_config_beats_the_queues() -> None:
    message = Task()
    message.app_engine_http_request.relative_uri = "/work"
    message.retry_config.max_attempts = 2
    message.retry_config.min_backoff.seconds = 7
    world = World(QueueConfig(), [BROKEN])
    world.add(message=message)
    world.clock.advance(60)
    assert world.times_ms() == [0, 7000]
    assert world.notes.given_up == ["task-1"]


def test_the_age_counts_from_the_first_attempt_not_from_the_creation() -> None:
    retries = RetryPolicy(
        max_retry_duration_us=2 * SECOND_US, min_backoff_us=SECOND_US, max_backoff_us=SECOND_US
    )
    world = World(QueueConfig(retry=retries), [BROKEN])
    world.add(after_seconds=100)
    world.clock.advance(200)
    assert world.times_ms() == [100_000, 101_000, 102_000, 103_000]


@pytest.mark.parametrize("outcome", [BROKEN, Outcome(429, retry_after_seconds=MAX_RETRY_AFTER_SECONDS)])
def test_no_retry_is_planned_for_later_than_the_task_is_kept(outcome: Outcome) -> None:
    longest_us = MAX_DURATION_SECONDS * SECOND_US
    config = QueueConfig(
        retry=RetryPolicy(min_backoff_us=longest_us, max_backoff_us=longest_us), task_ttl_us=60 * SECOND_US
    )
    world = World(config, [outcome])
    message = Task()
    message.http_request.url = "http://localhost/"
    task = world.add(message=message)
    world.clock.advance(1)
    assert task.eta_us == task.create_us + 60 * SECOND_US
    world.clock.advance(60)
    assert world.notes.expired_tasks == ["task-1"]
