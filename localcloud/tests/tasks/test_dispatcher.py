"""When tasks are dispatched: by their time, by the queue's rate, concurrency and state; and deadlines."""

from __future__ import annotations

import pytest
from localcloud.tasks.clock import SECOND_US
from localcloud.tasks.messages import Task
from localcloud.tasks.outcome import DEADLINE_REASON, Outcome
from localcloud.tasks.queue import PAUSED, RUNNING
from localcloud.tasks.queue_config import QueueConfig
from localcloud.tasks.retry import RetryPolicy

from tests.tasks.virtual import BROKEN, OK, World


def test_a_task_is_dispatched_at_its_time_to_the_millisecond() -> None:
    world = World(QueueConfig())
    world.add(after_seconds=1.234)
    world.clock.advance(1.2339)
    assert world.times_ms() == []
    world.clock.advance(0.0001)
    assert world.times_ms() == [1234]


def test_the_task_whose_time_comes_first_is_dispatched_first() -> None:
    world = World(QueueConfig())
    for seconds in (3, 1, 2):
        world.add(after_seconds=seconds)
    world.clock.advance(5)
    assert [delivery.task.id for delivery in world.target.deliveries] == ["task-2", "task-3", "task-1"]


def test_a_burst_leaves_at_once_and_the_rest_at_the_rate() -> None:
    world = World(QueueConfig(rate_per_second=10, burst=3))
    for _ in range(6):
        world.add()
    world.clock.advance(10)
    assert world.times_ms() == [0, 0, 0, 100, 200, 300]


def test_a_rate_below_one_a_second_is_kept() -> None:
    world = World(QueueConfig(rate_per_second=0.25, burst=1))
    for _ in range(3):
        world.add()
    world.clock.advance(60)
    assert world.times_ms() == [0, 4000, 8000]


def test_the_smallest_rate_there_is_means_never() -> None:
    world = World(QueueConfig(rate_per_second=5e-324, burst=1))
    for _ in range(2):
        world.add()
    world.clock.advance(30 * 24 * 3600)
    assert world.times_ms() == [0]


def test_the_bucket_fills_while_nothing_is_dispatched_up_to_its_size() -> None:
    world = World(QueueConfig(rate_per_second=10, burst=4))
    for _ in range(4):
        world.add()
    world.clock.advance(100)
    for _ in range(6):
        world.add()
    world.clock.advance(10)
    assert world.times_ms()[4:] == [100_000] * 4 + [100_100, 100_200]


def test_retries_take_from_the_same_bucket_as_first_attempts() -> None:
    at_once = RetryPolicy(min_backoff_us=0, max_backoff_us=0, max_attempts=3)
    world = World(QueueConfig(rate_per_second=1, burst=1, retry=at_once), [BROKEN])
    world.add()
    world.clock.advance(10)
    assert world.times_ms() == [0, 1000, 2000]


def test_five_hundred_a_second_are_five_hundred_a_second() -> None:
    world = World(QueueConfig(rate_per_second=500, burst=100))
    for _ in range(5100):
        world.add()
    world.clock.advance(9.9)
    assert len(world.times_ms()) == 100 + 4950


def test_no_more_tasks_are_under_way_than_the_queue_allows() -> None:
    world = World(QueueConfig(burst=500, max_concurrent=7), takes_seconds=1.0)
    for _ in range(20):
        world.add()
    world.clock.advance(10)
    assert world.target.most_in_flight == 7
    assert world.times_ms() == [0] * 7 + [1000] * 7 + [2000] * 6


def test_a_paused_queue_dispatches_nothing_and_takes_tasks() -> None:
    world = World(QueueConfig())
    world.queue.state = PAUSED
    world.add()
    world.clock.advance(10)
    assert world.times_ms() == []
    world.queue.state = RUNNING
    world.dispatcher.reconfigure()
    assert world.times_ms() == [10_000]


def test_a_task_that_fails_while_its_queue_is_paused_waits_for_it() -> None:
    world = World(QueueConfig(), [BROKEN, OK], takes_seconds=1.0)
    world.add()
    world.queue.state = PAUSED
    world.dispatcher.reconfigure()
    world.clock.advance(10)
    assert world.times_ms() == [0]
    world.queue.state = RUNNING
    world.dispatcher.reconfigure()
    world.clock.advance(2)
    assert world.times_ms() == [0, 10_000]
    assert world.queue.tasks == {}


def test_a_deleted_task_is_not_attempted() -> None:
    world = World(QueueConfig())
    task = world.add(after_seconds=1)
    world.queue.remove(task)
    world.clock.advance(10)
    assert world.times_ms() == []


def test_a_task_deleted_while_it_runs_is_not_retried() -> None:
    world = World(QueueConfig(), [BROKEN], takes_seconds=1.0)
    task = world.add()
    world.queue.remove(task)
    world.clock.advance(60)
    assert world.times_ms() == [0]
    assert world.queue.in_flight == 0


def test_a_new_rate_holds_at_once_for_what_waits() -> None:
    world = World(QueueConfig(rate_per_second=0.01, burst=1))
    world.add()
    world.add()
    world.clock.advance(1)
    world.queue.config = QueueConfig(rate_per_second=100, burst=1)
    world.dispatcher.reconfigure()
    world.clock.advance(1)
    # A hundredth of a token was there; the rest of it takes 9.9 ms.
    assert world.times_ms() == [0, 1009.9]


def test_an_attempt_without_an_answer_ends_at_its_deadline() -> None:
    world = World(QueueConfig(retry=RetryPolicy(max_attempts=1)), takes_seconds=100)
    world.target.limit_us = 15 * SECOND_US
    world.add()
    world.clock.advance(14.999)
    assert world.queue.in_flight == 1
    world.clock.advance(0.001)
    assert world.queue.in_flight == 0
    assert world.notes.outcomes == [Outcome(None, DEADLINE_REASON)]
    # A late answer would change nothing.
    world.clock.advance(100)
    assert len(world.notes.outcomes) == 1


def test_an_answer_within_the_deadline_counts_and_the_deadline_does_not_fire() -> None:
    world = World(QueueConfig(), takes_seconds=14.999)
    world.target.limit_us = 15 * SECOND_US
    world.add()
    world.clock.advance(60)
    assert world.notes.outcomes == [OK]


def test_a_task_older_than_its_queue_keeps_tasks_is_dropped_unattempted() -> None:
    world = World(QueueConfig(task_ttl_us=10 * SECOND_US))
    world.queue.state = PAUSED
    world.add()
    world.clock.advance(10)
    world.queue.state = RUNNING
    world.dispatcher.reconfigure()
    assert world.times_ms() == []
    assert world.notes.expired_tasks == ["task-1"]
    assert world.notes.removed == ["task-1"]


def test_running_a_task_by_hand_heeds_neither_state_nor_rate_nor_time_nor_concurrency() -> None:
    world = World(QueueConfig(rate_per_second=0.001, burst=1, max_concurrent=1), takes_seconds=1)
    world.add()
    world.queue.state = PAUSED
    late = world.add(after_seconds=3600)
    world.dispatcher.run(late)
    assert [delivery.task.id for delivery in world.target.deliveries] == ["task-1", "task-2"]
    world.clock.advance(2)
    assert world.queue.tasks == {}


def test_a_task_run_by_hand_that_fails_waits_from_the_time_of_the_call() -> None:
    world = World(QueueConfig(), [BROKEN, OK], takes_seconds=0.04)
    task = world.add(after_seconds=3600)
    world.dispatcher.run(task)
    world.clock.advance(10)
    assert world.times_ms() == [0, 100]


def test_a_task_run_by_hand_while_it_runs_is_finished_by_the_first_success() -> None:
    world = World(QueueConfig(), [OK, BROKEN], takes_seconds=1)
    task = world.add()
    world.clock.advance(0.5)
    world.dispatcher.run(task)
    world.clock.advance(60)
    assert world.times_ms() == [0, 500]
    assert world.notes.removed == ["task-1"]


def test_a_task_run_by_hand_while_it_runs_is_retried_once_after_both_failed() -> None:
    world = World(QueueConfig(), [BROKEN, BROKEN, OK], takes_seconds=1)
    task = world.add()
    world.clock.advance(0.5)
    world.dispatcher.run(task)
    world.clock.advance(60)
    # The second ended at 1.5 s; by hand, its delay (the second retry's, 0.2 s) counts from the call at 0.5 s.
    assert world.times_ms() == [0, 500, 1500]


def test_retry_after_is_heeded_for_an_http_target_and_not_for_app_engine() -> None:
    http = Task()
    http.http_request.url = "http://127.0.0.1/work"
    answer = Outcome(500, "", retry_after_seconds=30)
    world = World(QueueConfig(), [answer, OK])
    world.add(message=http)
    world.clock.advance(60)
    assert world.times_ms() == [0, 30_000]
    world = World(QueueConfig(), [answer, OK])
    world.add()
    world.clock.advance(60)
    assert world.times_ms() == [0, 100]


def test_what_was_executed_in_the_last_minute_is_counted() -> None:
    world = World(QueueConfig(), [BROKEN, BROKEN, OK])
    world.add()
    world.clock.advance(1)
    assert world.queue.executed_last_minute(world.clock.now_us()) == 3
    world.clock.advance(58)
    assert world.queue.executed_last_minute(world.clock.now_us()) == 3
    world.clock.advance(2)
    assert world.queue.executed_last_minute(world.clock.now_us()) == 0


@pytest.mark.parametrize("count", [1, 1000])
def test_queues_take_turns_instead_of_starving_one_another(count: int) -> None:
    # A queue with a full bucket hands over to the clock after a few dispatches, however many wait.
    world = World(QueueConfig(burst=500))
    world.queue.state = PAUSED
    for _ in range(count):
        world.add()
    world.queue.state = RUNNING
    world.dispatcher.reconfigure()
    assert len(world.times_ms()) == min(count, 16)
    world.clock.advance(0)
    assert len(world.times_ms()) == min(count, 500)


def test_an_attempt_that_has_ended_holds_on_to_nothing_that_leads_back_to_it() -> None:
    world = World(QueueConfig())
    world.add()
    world.clock.advance(1)
    [delivery] = world.target.deliveries
    assert delivery.ended
    assert delivery.request is None
    assert delivery.deadline is None
