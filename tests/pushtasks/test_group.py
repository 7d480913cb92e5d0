"""Group commit: every delivery gets its own outcome, whatever happens to its group."""

from __future__ import annotations

import itertools
import random
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pushtasks.delivery import Outcome
from pushtasks.errors import Contention, DatastoreUnavailable, ShuttingDown
from pushtasks.group import GroupCommitter
from pushtasks.slots import Slot

WAIT_S = 10.0


@dataclass(frozen=True)
class Delivery:
    """A delivery of the task `name`; each delivery has an id of its own."""

    name: str
    id: int


@dataclass
class Store:
    """A transactional store of records, as Datastore would keep them; faults happen as told."""

    faults: list[str] = field(default_factory=list)
    records: dict[str, int] = field(default_factory=dict)
    applied: Counter[str] = field(default_factory=Counter)
    poisoned: frozenset[str] = frozenset()
    groups: list[int] = field(default_factory=list)
    hold: Callable[[], None] = lambda: None
    lock: threading.Lock = field(default_factory=threading.Lock)

    def apply(self, deliveries: Sequence[Delivery], /, *, records_first: bool = False) -> list[Outcome]:
        self.hold()
        with self.lock:
            self.groups.append(len(deliveries))
            fault = self.faults.pop(0) if self.faults else "none"
            if fault == "abort":
                raise Contention("aborted")
            if fault == "away":
                raise DatastoreUnavailable("away")
            if fault == "thread dies":
                raise SystemExit
            if any(each.name in self.poisoned for each in deliveries):
                raise ValueError("poison")
            outcomes = []
            for each in deliveries:
                owner = self.records.setdefault(each.name, each.id)
                fresh = owner == each.id
                if fresh and not self.applied[each.name]:
                    self.applied[each.name] += 1
                outcomes.append(Outcome.APPLIED if fresh else Outcome.DUPLICATE)
            if fault == "answer lost":
                raise DatastoreUnavailable("the answer got lost after the commit")
            return outcomes


def committer(store: Store, most: int = 8, seed: int = 1) -> GroupCommitter[Delivery, Outcome]:
    return GroupCommitter(
        store.apply, Slot(8, random.Random(seed)), most, random.Random(seed), sleep=lambda seconds: None
    )


def deliver_all(
    commits: GroupCommitter[Delivery, Outcome], deliveries: Sequence[Delivery]
) -> dict[Delivery, Outcome | BaseException]:
    """The outcome of each delivery, each made in its own thread."""
    results: dict[Delivery, Outcome | BaseException] = {}

    def deliver(delivery: Delivery) -> None:
        try:
            results[delivery] = commits.commit(delivery)
        except BaseException as failure:  # noqa: BLE001 - what came out is what is tested
            results[delivery] = failure

    threads = [threading.Thread(target=deliver, args=(each,)) for each in deliveries]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(WAIT_S)
        assert not thread.is_alive(), "a delivery was never answered"
    return results


def held_until(condition: Callable[[], bool]) -> None:
    tick = threading.Event()
    for _ in range(1000):
        if condition():
            return
        tick.wait(0.01)
    raise AssertionError("that never happened")


def held_back(store: Store, waiting: int, commits: GroupCommitter[Delivery, Outcome]) -> threading.Event:
    """Make the first transaction wait until `waiting` more deliveries have arrived behind it."""
    first = threading.Event()

    def hold() -> None:
        if not first.is_set():
            first.set()
            held_until(lambda: len(commits._waiting) >= waiting)

    store.hold = hold
    return first


def test_a_lone_delivery_is_committed_at_once_and_alone() -> None:
    store = Store()

    assert committer(store).commit(Delivery("a", 1)) is Outcome.APPLIED
    assert store.groups == [1]


def test_what_arrives_during_a_commit_goes_together_in_the_next_ones_of_bounded_size() -> None:
    store = Store()
    commits = committer(store, most=8)
    held_back(store, 12, commits)

    results = deliver_all(commits, [Delivery(f"t{number}", number) for number in range(13)])

    assert set(results.values()) == {Outcome.APPLIED}
    assert store.groups == [1, 8, 4]


def test_one_task_twice_in_a_group_counts_once() -> None:
    store = Store()
    commits = committer(store)
    held_back(store, 2, commits)

    results = deliver_all(commits, [Delivery("first", 0), Delivery("same", 1), Delivery("same", 2)])

    assert sorted(str(outcome) for outcome in results.values()) == ["applied", "applied", "duplicate"]
    assert store.applied["same"] == 1


@pytest.mark.parametrize("fault", ["abort", "away", "answer lost"])
def test_a_group_that_fails_is_tried_once_more_and_a_lost_answer_is_no_duplicate(fault: str) -> None:
    store = Store(faults=[fault])

    assert committer(store).commit(Delivery("a", 1)) is Outcome.APPLIED
    assert store.groups == [1, 1]
    assert store.applied["a"] == 1


def test_a_group_that_aborts_again_and_again_is_tried_one_by_one() -> None:
    store = Store(faults=["none"] + ["abort"] * 6)
    commits = committer(store)
    held_back(store, 3, commits)

    results = deliver_all(commits, [Delivery(f"t{number}", number) for number in range(4)])

    assert set(results.values()) == {Outcome.APPLIED}
    assert store.groups == [1] + [3] * 6 + [1, 1, 1]


def test_a_group_that_waited_long_for_a_lock_is_soon_tried_one_by_one() -> None:
    store = Store(faults=["none", "abort", "abort"])
    passing = itertools.count(step=2.0)
    commits = GroupCommitter(
        store.apply,
        Slot(8, random.Random(1)),
        8,
        random.Random(1),
        lambda seconds: None,
        lambda: next(passing),
    )
    held_back(store, 3, commits)

    results = deliver_all(commits, [Delivery(f"t{number}", number) for number in range(4)])

    assert set(results.values()) == {Outcome.APPLIED}
    assert store.groups == [1, 3, 3, 1, 1, 1]


def test_a_group_of_those_who_failed_before_and_newcomers_gives_each_its_own_tries() -> None:
    store = Store(faults=["none"] + ["abort"] * 6)
    commits = committer(store)
    held_back(store, 2, commits)
    sleeps = 0

    def arrive_late(seconds: float) -> None:
        nonlocal sleeps
        sleeps += 1
        if sleeps == 3:
            late.start()
            held_until(lambda: len(commits._waiting) == 3)

    commits._sleep = arrive_late
    results: dict[Delivery, Outcome | BaseException] = {}
    late = threading.Thread(
        target=lambda: results.update({Delivery("late", 9): commits.commit(Delivery("late", 9))})
    )
    results.update(deliver_all(commits, [Delivery(f"t{number}", number) for number in range(3)]))
    late.join(WAIT_S)

    assert set(results.values()) == {Outcome.APPLIED}
    assert len(results) == 4


def test_one_task_that_cannot_be_applied_does_not_fail_its_neighbours() -> None:
    store = Store(poisoned=frozenset({"t2"}))
    commits = committer(store)
    held_back(store, 4, commits)

    results = deliver_all(commits, [Delivery("first", 0)] + [Delivery(f"t{n}", n) for n in range(1, 5)])

    failed = {each.name: result for each, result in results.items() if result is not Outcome.APPLIED}
    assert set(failed) == {"t2"}
    assert isinstance(failed["t2"], ValueError)


def test_datastore_away_is_said_so_and_not_tried_one_by_one() -> None:
    store = Store(faults=["away", "away"])

    with pytest.raises(DatastoreUnavailable):
        committer(store).commit(Delivery("a", 1))
    assert store.groups == [1, 1]


def test_contention_without_an_end_is_left_to_the_queue() -> None:
    store = Store(faults=["abort"] * 100)

    with pytest.raises(Contention):
        committer(store).commit(Delivery("a", 1))
    assert len(store.groups) == 7


def test_a_thread_that_dies_takes_nobody_with_it() -> None:
    store = Store(faults=["none", "thread dies"])
    commits = committer(store)
    held_back(store, 4, commits)

    results = deliver_all(commits, [Delivery(f"t{number}", number) for number in range(5)])

    assert sum(result is Outcome.APPLIED for result in results.values()) == 4
    assert sum(isinstance(result, SystemExit) for result in results.values()) == 1


def test_when_closed_what_was_taken_in_is_finished_and_the_rest_refused() -> None:
    store = Store()
    commits = committer(store)
    started = held_back(store, 1, commits)
    results: dict[str, Outcome] = {}

    def deliver(name: str, number: int) -> None:
        results[name] = commits.commit(Delivery(name, number))

    first = threading.Thread(target=deliver, args=("first", 0))
    first.start()
    assert started.wait(WAIT_S)
    second = threading.Thread(target=deliver, args=("second", 1))
    second.start()
    first.join(WAIT_S)
    commits.close()
    second.join(WAIT_S)

    assert results == {"first": Outcome.APPLIED, "second": Outcome.APPLIED}
    with pytest.raises(ShuttingDown):
        commits.commit(Delivery("third", 2))


def test_contention_spaces_commits_out_and_peace_ends_that() -> None:
    now_s = 0.0
    waits: list[float] = []

    def sleep(seconds: float) -> None:
        nonlocal now_s
        waits.append(seconds)
        now_s += seconds

    store = Store(faults=["abort", "abort", "none"])
    commits = GroupCommitter(
        store.apply, Slot(8, random.Random(1)), 8, random.Random(1), sleep, lambda: now_s
    )

    commits.commit(Delivery("a", 1))
    in_contention = list(waits)
    for number in range(50):
        commits.commit(Delivery(f"b{number}", number))
    in_peace = len(waits)
    commits.commit(Delivery("c", 99))

    assert len(in_contention) == 2
    assert in_contention[1] > in_contention[0]
    assert waits[2] > waits[-1], "the distance shrinks"
    assert len(waits) == in_peace, "and is gone in the end"


def test_in_a_busy_process_a_small_group_waits_a_moment_for_company() -> None:
    waits: list[float] = []
    store = Store()
    commits = GroupCommitter(store.apply, Slot(8, random.Random(1)), 8, random.Random(1), waits.append)
    held_back(store, 9, commits)

    deliver_all(commits, [Delivery(f"t{number}", number) for number in range(10)])

    assert store.groups == [1, 8, 1]
    assert 0 < sum(waits) < 0.05, "the first was alone, the second full: only the third waited"


def test_the_wait_for_company_ends_once_there_is_enough() -> None:
    waits: list[float] = []
    others: list[threading.Thread] = []
    store = Store()

    def company_comes(seconds: float) -> None:
        waits.append(seconds)
        for number in range(2, 9):
            others.append(threading.Thread(target=commits.commit, args=(Delivery(f"t{number}", 1),)))
            others[-1].start()
        held_until(lambda: len(commits._waiting) == 8)

    commits = GroupCommitter(store.apply, Slot(8, random.Random(1)), 8, random.Random(1), company_comes)
    held_back(store, 1, commits)
    deliver_all(commits, [Delivery("t0", 1), Delivery("t1", 1)])
    for thread in others:
        thread.join(WAIT_S)

    assert store.groups == [1, 8]
    assert len(waits) == 1


def test_after_contention_an_idle_process_makes_nobody_wait() -> None:
    now_s = 0.0
    waits: list[float] = []
    store = Store(faults=["abort"])
    commits = GroupCommitter(
        store.apply, Slot(8, random.Random(1)), 8, random.Random(1), waits.append, lambda: now_s
    )
    commits.commit(Delivery("a", 1))
    before = len(waits)

    now_s = 60.0
    commits.commit(Delivery("b", 2))

    assert len(waits) == before


@given(
    names=st.lists(st.sampled_from("abcdefgh"), min_size=1, max_size=20),
    faults=st.lists(
        st.sampled_from(["none", "none", "abort", "away", "answer lost", "thread dies"]), max_size=12
    ),
    most=st.integers(1, 8),
    seed=st.integers(0, 1000),
)
@settings(max_examples=150)
def test_any_interleaving_counts_as_one_by_one_would(
    names: list[str], faults: list[str], most: int, seed: int
) -> None:
    store = Store(faults=faults)
    deliveries = [Delivery(name, number) for number, name in enumerate(names)]

    results = deliver_all(committer(store, most, seed), deliveries)
    # The queue delivers again what failed, until nothing does.
    for again in range(20):
        failed = [each for each, result in results.items() if not isinstance(result, Outcome)]
        if not failed:
            break
        later = [Delivery(each.name, each.id + 1000 * (again + 1)) for each in failed]
        results = {each: result for each, result in results.items() if isinstance(result, Outcome)}
        results.update(deliver_all(committer(store, most, seed), later))

    assert store.applied == Counter(set(names)), "each task is counted once, as one by one would"
    assert all(isinstance(result, Outcome) for result in results.values())
    told_applied = Counter(each.name for each, result in results.items() if result is Outcome.APPLIED)
    assert max(told_applied.values(), default=0) <= 1
