"""What waits to retry: grouped by the last answer, filtered, a page at a time."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from pushtasks import retry_groups
from pushtasks.queue_control import Listing, RetryingTask
from pushtasks.retry_groups import RetryFilter

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)


def _task(number: int, answer: str = "500", queue: str = "q-0", kind: str = "a") -> RetryingTask:
    return RetryingTask(
        queue=queue,
        name=f"t{number:04}",
        path=f"/{kind}?x=1",
        attempts=number + 1,
        last_status=answer,
        next_try=NOW + timedelta(seconds=number),
        created_at=NOW - timedelta(minutes=number),
        failed_at=NOW - timedelta(seconds=number) if answer != "no answer" else None,
    )


def _listing(*tasks: RetryingTask) -> Listing:
    return Listing(list(tasks), {}, False, NOW)


def test_tasks_are_grouped_by_answer_and_kind_the_largest_group_first() -> None:
    listing = _listing(
        _task(0), _task(1, "503"), _task(2, "503", "q-1"), _task(3, "no answer"), _task(4, kind="b")
    )

    first, *others = retry_groups.groups(listing)

    assert (first.answer, first.task, first.count, first.queues) == ("503", "a", 2, {"q-0": 1, "q-1": 1})
    assert (first.first_seen, first.last_seen) == (NOW - timedelta(minutes=2), NOW - timedelta(seconds=1))
    assert (first.attempts, first.most_attempts, first.next_try) == (5, 3, NOW + timedelta(seconds=1))
    assert [(each.answer, each.task, each.last_seen is None) for each in others] == [
        ("500", "a", False),
        ("500", "b", False),
        ("no answer", "a", True),
    ]


def test_a_filter_selects_by_answer_kind_queue_name_and_time() -> None:
    tasks = [_task(0), _task(1, "503"), _task(2, queue="q-1"), _task(3, kind="b")]
    listing = _listing(*tasks)

    def names(**wanted: object) -> list[str]:
        return [each.name for each in retry_groups.selected(listing, RetryFilter(**wanted))]  # type: ignore[arg-type]

    assert names() == ["t0000", "t0001", "t0002", "t0003"]
    assert names(answer="503") == ["t0001"]
    assert names(queue="q-1") == ["t0002"]
    assert names(task="b") == ["t0003"]
    assert names(text="003") == ["t0003"]
    assert names(cutoff=NOW - timedelta(minutes=2)) == ["t0002", "t0003"]


def test_pages_are_numbered_and_one_beyond_the_last_gives_the_last() -> None:
    listing = _listing(*(_task(number) for number in range(120)))

    pages = [retry_groups.page(listing, RetryFilter(), number) for number in (0, 1, 3, 99)]

    assert [(page.number, len(page.tasks)) for page in pages] == [(1, 50), (1, 50), (3, 20), (3, 20)]
    assert {(page.pages, page.count) for page in pages} == {(3, 120)}
    empty = retry_groups.page(_listing(), RetryFilter(), 5)
    assert (empty.number, empty.pages, empty.count) == (1, 1, 0)
