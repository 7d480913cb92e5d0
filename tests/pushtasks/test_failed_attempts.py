"""Failed attempts are counted when they fail, in memory, and written with the next commit or alone."""

from __future__ import annotations

import threading
from collections.abc import Mapping

import pytest

from pushtasks.errors import DatastoreUnavailable
from pushtasks.failed_attempts import FailedAttempts
from pushtasks.ring import MINUTES
from tests.conftest import StandingClock
from tests.pushtasks.conftest import Later


class Written:
    def __init__(self) -> None:
        self.rows: list[tuple[str, dict[int, int]]] = []
        self.is_away = False

    def __call__(self, task: str, counts: Mapping[int, int]) -> None:
        if self.is_away:
            raise DatastoreUnavailable("away")
        self.rows.append((task, dict(counts)))


@pytest.fixture
def written() -> Written:
    return Written()


@pytest.fixture
def failed(written: Written, clock: StandingClock, later: Later) -> FailedAttempts:
    return FailedAttempts(written, clock, later)


def test_they_are_written_alone_after_ten_seconds(
    failed: FailedAttempts, written: Written, later: Later, clock: StandingClock
) -> None:
    minute = MINUTES.period_of(clock.now)
    failed.count("a")
    failed.count("a")
    failed.count("b")
    [(after_s, flush)] = later.calls
    assert after_s == 10

    flush()

    assert written.rows == [("a", {minute: 2}), ("b", {minute: 1})]
    failed.count("a")
    assert len(later.calls) == 2


def test_a_commit_takes_them_along(failed: FailedAttempts, written: Written, later: Later) -> None:
    failed.count("a")

    assert sum(failed.take("a").values()) == 1

    later.calls[0][1]()
    assert failed.take("a") == {}
    assert written.rows == []


def test_what_could_not_be_written_is_kept_for_the_next_time(
    failed: FailedAttempts, written: Written, later: Later, clock: StandingClock
) -> None:
    first = MINUTES.period_of(clock.now)
    failed.count("a")
    written.is_away = True
    later.calls[0][1]()
    clock.advance(minutes=1)
    failed.count("a")
    failed.give_back("a", failed.take("a"))

    assert failed.take("a") == {first: 1, first + 1: 1}


def test_an_outage_of_hours_takes_no_more_memory_than_one_of_two_hours(
    failed: FailedAttempts, clock: StandingClock
) -> None:
    for _ in range(500):
        clock.advance(minutes=1)
        failed.count("a")

    counts = failed.take("a")
    assert len(counts) == 120
    assert sum(counts.values()) == 500


def test_threads_lose_no_count(failed: FailedAttempts) -> None:
    def count() -> None:
        for _ in range(200):
            failed.count("a")
            failed.give_back("a", failed.take("a"))

    threads = [threading.Thread(target=count) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert sum(failed.take("a").values()) == 800
