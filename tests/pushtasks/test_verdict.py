"""The verdict: which rule fires, and what it says."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from pushtasks.queue_control import Listing, QueueFigures, RetryingTask, wait_s
from pushtasks.statistics import Statistics
from pushtasks.tally import Tally
from pushtasks.verdict import Level, judge, share_warning

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)


def _queue(state: str = "running", waiting: int = 0, overdue_s: float = 0.0) -> QueueFigures:
    due = NOW - timedelta(seconds=overdue_s)
    return QueueFigures("q-0", state, 500.0, 100, 64, waiting, due, 0, 0, 500.0, None)


def _listing(attempts: int = 1, age_s: float = 0.0, listed_ago_s: float = 0.0) -> Listing:
    at = NOW - timedelta(seconds=listed_ago_s)
    created = at - timedelta(seconds=age_s)
    task = RetryingTask("q-0", "t", "/p", attempts, "500", NOW, created)
    return Listing([task], {"q-0": created}, False, at)


def _statistics(applied: int, first: int, rejected: int = 0, gave_up: int = 0) -> Statistics:
    hour = Tally(applied=applied, applied_first_attempt=first, rejected=rejected, gave_up=gave_up)
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
    assert [each.about for each in verdict.findings] == ["queues", "retrying", "attempts", "kept"]
    assert verdict.findings[0].sentence == "The queue q-0 is paused, and 1 task waits in it."


def test_rejected_tasks_and_stubborn_ones_degrade() -> None:
    assert (
        "1 update-counter task was rejected"
        in judge([_statistics(1, 1, 1)], [], None, NOW).findings[0].sentence
    )
    stubborn = judge([], [_queue()], _listing(attempts=5), NOW)
    assert stubborn.findings[0].sentence == "1 task has failed 5 times or more, with 500."


def test_what_can_not_be_read_is_a_failure_and_the_worst_comes_first() -> None:
    verdict = judge(None, None, None, NOW)
    assert [finding.level for finding in verdict.findings] == [Level.FAILING, Level.FAILING]
    mixed = judge(None, [_queue("paused")], None, NOW)
    assert [finding.level for finding in mixed.findings] == [Level.FAILING, Level.DEGRADED]


def _queues(*names: str, waiting: int = 1, overdue_s: float = 0.0) -> list[QueueFigures]:
    return [replace(_queue(waiting=waiting, overdue_s=overdue_s), name=name) for name in names]


def test_old_tasks_in_many_queues_are_one_finding_with_its_cause_first() -> None:
    created = NOW - timedelta(minutes=12)
    tasks = [
        RetryingTask(f"q-{number % 4}", f"t{number}", "/p", 7, "500" if number else "503", NOW, created)
        for number in range(40)
    ]
    listing = Listing(tasks, {f"q-{number}": created for number in range(4)}, False, NOW)

    verdict = judge([], _queues("q-0", "q-1", "q-2", "q-3"), listing, NOW)

    assert [(each.level, each.about, each.sentence) for each in verdict.findings] == [
        (
            Level.FAILING,
            "retrying",
            "40 tasks have failed 5 times or more, most with 500; the oldest task has waited 12 min.",
        )
    ]


def test_what_waits_for_another_reason_is_told_apart() -> None:
    created = NOW - timedelta(minutes=2)
    stubborn = RetryingTask("q-0", "t", "/p", 7, "500", NOW, created)
    listing = Listing([stubborn], {"q-0": created}, False, NOW)

    verdict = judge([], [*_queues("q-0"), *_queues("q-1", "q-2", overdue_s=660)], listing, NOW)

    assert [each.sentence for each in verdict.findings] == [
        "The oldest task has waited 11 min; tasks wait in 2 queues.",
        "1 task has failed 5 times or more, with 500; the oldest task has waited 2 min.",
    ]


def test_queues_that_stand_still_are_named_together() -> None:
    paused = [replace(each, state="paused") for each in _queues("q-0", "q-1", "q-2", waiting=2)]

    verdict = judge([], paused, None, NOW)

    assert [each.sentence for each in verdict.findings] == [
        "The queues q-0, q-1 and q-2 are paused, and 6 tasks wait in them."
    ]


def test_tasks_that_are_for_later_do_not_wait() -> None:
    listing = Listing([], {}, False, NOW, not_due={"q-0": 3})

    verdict = judge([], [_queue("paused", waiting=3)], listing, NOW)

    assert verdict.findings[0].sentence == "The queue q-0 is paused."


def test_tasks_that_gave_up_are_counted() -> None:
    verdict = judge([_statistics(1, 1, gave_up=2)], [], None, NOW)

    assert (
        verdict.findings[0].sentence
        == "2 update-counter tasks were given up after too many failures in the last hour."
    )


def test_a_share_of_first_attempts_is_warned_of_while_tasks_wait_to_retry() -> None:
    hour = Tally(applied=1000, applied_first_attempt=990)
    one = _listing()
    many = replace(one, tasks=one.tasks * 200)

    assert share_warning(hour, many).startswith("Of applied tasks only: 200 tasks wait to retry")
    assert share_warning(hour, one) == ""
    assert share_warning(hour, None) == ""
    assert share_warning(Tally(applied=100, applied_first_attempt=10), many) == ""
