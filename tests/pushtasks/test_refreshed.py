"""Values that are expensive to fetch: who waits for them, and how old they get."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
from localcloud.testing.waiting import wait_until

from pushtasks.refreshed import Refreshed


class Clock:
    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def test_only_the_first_caller_waits_and_later_ones_renew_behind_the_scenes() -> None:
    clock = Clock()
    fetched: list[int] = []
    go = threading.Event()
    go.set()

    def fetch() -> int:
        go.wait()
        fetched.append(len(fetched))
        return fetched[-1]

    value = Refreshed(fetch, 30, clock)
    assert value.get() == 0
    clock.now_s = 29
    assert value.get() == 0
    clock.now_s = 31
    go.clear()
    assert [value.get() for _ in range(5)] == [0] * 5  # nobody waits, and one fetches
    go.set()
    wait_until(lambda: value.get() == 1, "the newer value")
    assert fetched == [0, 1]


def test_what_is_older_than_twice_its_life_is_waited_for() -> None:
    clock = Clock()
    numbers = iter(range(10))
    value = Refreshed(lambda: next(numbers), 30, clock)
    assert value.get() == 0
    clock.now_s = 61
    assert value.get() == 1


def test_what_was_forgotten_is_waited_for() -> None:
    numbers = iter(range(10))
    value = Refreshed(lambda: next(numbers), 30, Clock())
    assert value.get() == 0
    value.forget()
    assert value.get() == 1


def test_a_failure_is_raised_when_there_is_nothing_to_give_and_not_kept() -> None:
    answers: Iterator[OSError | int] = iter([OSError("away"), 7])

    def fetch() -> int:
        answer = next(answers)
        if isinstance(answer, OSError):
            raise answer
        return answer

    value = Refreshed(fetch, 30, Clock())
    with pytest.raises(OSError, match="away"):
        value.get()
    assert value.get() == 7


def test_a_failure_behind_the_scenes_is_raised_to_the_next_caller() -> None:
    clock, away = Clock(), [False]

    def fetch() -> int:
        if away[0]:
            raise OSError("away")
        return 1

    value = Refreshed(fetch, 30, clock)
    assert value.get() == 1
    away[0], clock.now_s = True, 31.0

    def is_raised() -> bool:
        try:
            value.get()
        except OSError:
            return True
        return False

    wait_until(is_raised, "the failure to show")


def test_what_was_being_fetched_when_it_was_forgotten_is_not_kept() -> None:
    clock = Clock()
    numbers = iter(range(10))
    fetches, go = threading.Event(), threading.Event()

    def fetch() -> int:
        number = next(numbers)
        if number == 1:
            fetches.set()
            assert go.wait(30)
        return number

    value = Refreshed(fetch, 30, clock)
    assert value.get() == 0
    clock.now_s = 31
    assert value.get() == 0  # and a newer one is being fetched
    assert fetches.wait(30)
    value.forget()
    go.set()

    assert value.get() == 2


def test_where_no_thread_can_be_started_the_old_value_is_given_and_nobody_waits_for_ever(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    clock = Clock()
    numbers = iter(range(10))
    value = Refreshed(lambda: next(numbers), 30, clock)
    assert value.get() == 0
    clock.now_s = 31
    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", refuse)
        assert value.get() == 0
    assert value._fetching.acquire(blocking=False)
