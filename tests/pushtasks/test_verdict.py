"""The verdict: which rule fires, and what it says."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from pushtasks.queue_control import Listing, QueueFigures, RetryingTask, wait_s
from pushtasks.statistics import Statistics
from pushtasks.tally import Tally
from pushtasks.verdict import Level, judge

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)


def _queue(state: str = "running", waiting: int = 0, overdue_s: float = 0.0) -> QueueFigures:
    due = NOW - timedelta(seconds=overdue_s)
    return QueueFigures("q-0", state, 500.0, 100, 64, waiting, due, 0, 0, 500.0, None)


def _listing(attempts: int = 1, age_s: float = 0.0, listed_ago_s: float = 0.0) -> Listing:
    at = NOW - timedelta(seconds=listed_ago_s)
    created = at - timedelta(seconds=age_s)
    task = RetryingTask("q-0", "t", "/p", attempts, "500", NOW, created)
    return Listing([task], {"q-0": created}, False, at)


def _statistics(applied: int, first: int, rejected: int = 0) -> Statistics:
    hour = Tally(applied=applied, applied_first_attempt=first, rejected=rejected)
    return Statistics("update-counter", hour, hour, [], NOW)


def test_when_nothing_is_wrong_it_is_ok_and_says_why() -> None:
    verdict = judge([_statistics(100, 100)], [_queue()], None, NOW)
    assert verdict.level is Level.OK
    assert verdict.findings[0].sentence.startswith("Every task that arrives is applied")
    fresh = judge([], [_queue()], None, NOW)
    assert fresh.findings[0].sentence == "No task has been applied yet, and none waits long."


def test_an_old_task_degrades_and_a_very_old_one_fails() -> None:
    for overdue_s, level, said in (
        (59, Level.OK, ""),
        (240, Level.DEGRADED, "4 min"),
        (660, Level.FAILING, "11"),
    ):
        verdict = judge([], [_queue(waiting=1, overdue_s=overdue_s)], None, NOW)
        assert verdict.level is level
        assert said in verdict.findings[0].sentence


def test_a_retried_task_counts_from_its_creation_though_its_next_try_is_to_come() -> None:
    verdict = judge([], [_queue(waiting=1, overdue_s=-30)], _listing(age_s=120), NOW)
    assert verdict.findings[0].sentence == "The oldest task in q-0 has waited 2 min."


def test_what_was_listed_a_while_ago_is_not_taken_to_wait_still() -> None:
    assert wait_s(_queue(waiting=1), _listing(age_s=5, listed_ago_s=29), NOW) == 5
    assert wait_s(_queue(waiting=0, overdue_s=99), _listing(age_s=5), NOW) == 0


def test_a_queue_that_stands_still_is_named() -> None:
    paused = judge([], [_queue("paused", waiting=3)], None, NOW)
    assert (paused.level, paused.findings[0].sentence) == (
        Level.DEGRADED,
        "The queue q-0 is paused, and 3 tasks wait in it.",
    )
    assert judge([], [_queue("missing")], None, NOW).level is Level.FAILING


def test_few_first_attempts_that_succeed_degrade_or_fail() -> None:
    assert judge([_statistics(100, 96)], [], None, NOW).level is Level.OK
    degraded = judge([_statistics(100, 80)], [], None, NOW)
    assert degraded.level is Level.DEGRADED
    assert "only 80% of update-counter tasks succeeded at once" in degraded.findings[0].sentence
    assert judge([_statistics(100, 40)], [], None, NOW).level is Level.FAILING
    assert judge([_statistics(19, 0)], [], None, NOW).level is Level.OK


def test_a_share_just_below_its_bound_is_not_rounded_up_to_it() -> None:
    verdict = judge([_statistics(1000, 949)], [], None, NOW)
    assert "only 94% of" in verdict.findings[0].sentence


def test_a_finding_says_where_to_look() -> None:
    listing = _listing(attempts=7)
    verdict = judge([_statistics(100, 80, 3)], [_queue("paused", waiting=1)], listing, NOW)
    assert [each.about for each in verdict.findings] == ["queues", "attempts", "kept", "retrying"]
    assert verdict.findings[0].sentence == "The queue q-0 is paused, and 1 task waits in it."


def test_rejected_tasks_and_stubborn_ones_degrade() -> None:
    assert (
        "1 update-counter task was rejected"
        in judge([_statistics(1, 1, 1)], [], None, NOW).findings[0].sentence
    )
    stubborn = judge([], [_queue()], _listing(attempts=5), NOW)
    assert stubborn.findings[0].sentence == "1 task has failed 5 times or more."


def test_what_can_not_be_read_is_a_failure_and_the_worst_comes_first() -> None:
    verdict = judge(None, None, None, NOW)
    assert [finding.level for finding in verdict.findings] == [Level.FAILING, Level.FAILING]
    mixed = judge(None, [_queue("paused")], None, NOW)
    assert [finding.level for finding in mixed.findings] == [Level.FAILING, Level.DEGRADED]
