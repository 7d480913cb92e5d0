"""Transactions: isolation, locks and conflicts in each mode, lifetimes, and what happens after the end."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import grpc
import pytest
from localcloud.datastore import messages as m
from localcloud.datastore.commits import Concurrency
from localcloud.datastore.errors import Refused

from tests.datastore.api import Api, StandingClock, delete, key, query, upsert

A = ("Thing", "a")
B = ("Thing", "b")
OPTIMISTIC = (Concurrency.OPTIMISTIC, Concurrency.OPTIMISTIC_WITH_ENTITY_GROUPS)
Code = grpc.StatusCode


def code_of(call: Callable[[], Any]) -> Any:
    """The status code with which a call is refused; None if it is not."""
    try:
        call()
    except Refused as refused:
        return refused.code
    return None


class InThread:
    """A call under way in a thread of its own."""

    _pool = ThreadPoolExecutor(32)

    def __init__(self, call: Callable[[], Any]) -> None:
        self._future: Future[Any] = self._pool.submit(code_of, call)

    @property
    def is_done(self) -> bool:
        return self._future.done()

    def code(self) -> Any:
        """The status code, once it has come; None for success."""
        return self._future.result(timeout=20)


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        threading.Event().wait(0.002)


def waiters(api: Api) -> int:
    """How many requests wait for locks."""
    table = api.service.locks
    return sum(len(lock.queue) for lock in list(table._locks.values())) + len(table._ended_waits)


# In every mode


@pytest.fixture(params=list(Concurrency), ids=lambda mode: mode.value)
def any_mode(request: pytest.FixtureRequest, make_api: Callable[..., Api]) -> Api:
    return make_api(concurrency=request.param)


def test_reads_in_a_transaction_do_not_see_its_own_writes_before_the_commit(any_mode: Api) -> None:
    any_mode.commit(upsert(A, n=1))
    transaction = any_mode.begin()
    assert any_mode.get(*A, transaction=transaction) == {"n": 1}
    any_mode.commit(upsert(A, n=2), transaction=transaction)
    assert any_mode.get(*A) == {"n": 2}


def test_a_commit_is_final_and_a_second_one_is_refused(any_mode: Api) -> None:
    transaction = any_mode.begin()
    any_mode.commit(upsert(A, n=1), transaction=transaction)
    for call in (
        lambda: any_mode.commit(upsert(A, n=2), transaction=transaction),
        lambda: any_mode.lookup(A, transaction=transaction),
        lambda: any_mode.rollback(transaction),
    ):
        assert code_of(call) is Code.INVALID_ARGUMENT
    assert any_mode.get(*A) == {"n": 1}


def test_nothing_can_follow_a_rollback_but_another_one(any_mode: Api) -> None:
    transaction = any_mode.begin()
    any_mode.lookup(A, transaction=transaction)
    any_mode.rollback(transaction)
    any_mode.rollback(transaction)
    assert code_of(lambda: any_mode.commit(transaction=transaction)) is Code.INVALID_ARGUMENT
    any_mode.commit(upsert(A, n=1))


@pytest.mark.parametrize("id_", [b"", b"nonsense", bytes(16)])
def test_an_unknown_transaction_is_refused(api: Api, id_: bytes) -> None:
    assert code_of(lambda: api.commit(transaction=id_)) is Code.INVALID_ARGUMENT
    assert code_of(lambda: api.rollback(id_)) is Code.INVALID_ARGUMENT
    assert code_of(lambda: api.lookup(A, transaction=id_)) is Code.INVALID_ARGUMENT


def test_a_transaction_belongs_to_its_database(api: Api) -> None:
    transaction = api.begin()
    other = Api(api.service, database="other")
    assert code_of(lambda: other.commit(transaction=transaction)) is Code.INVALID_ARGUMENT
    assert code_of(lambda: other.rollback(transaction)) is Code.INVALID_ARGUMENT


def test_a_read_only_transaction_sees_one_state_locks_nothing_and_writes_nothing(any_mode: Api) -> None:
    any_mode.commit(upsert(A, n=1), upsert(B, n=1))
    transaction = any_mode.begin(read_only=True)
    assert any_mode.get(*A, transaction=transaction) == {"n": 1}
    any_mode.commit(upsert(A, n=2), delete(B))
    assert any_mode.get(*A, transaction=transaction) == {"n": 1}
    assert any_mode.get(*B, transaction=transaction) == {"n": 1}
    below_a = ("__key__", "ancestor", key(*A))
    assert any_mode.names(query("Thing", ("n", "=", 1), below_a), transaction=transaction) == ["a"]
    write = upsert(A, n=3)
    assert code_of(lambda: any_mode.commit(write, transaction=transaction)) is Code.INVALID_ARGUMENT
    empty = any_mode.begin(read_only=True)
    any_mode.commit(transaction=empty)


def test_a_read_can_begin_the_transaction(api: Api) -> None:
    api.commit(upsert(A, n=1))
    request = m.LookupRequest(keys=[key(*A)])
    request.read_options.new_transaction.read_write.SetInParent()
    transaction = api.call("Lookup", m.LookupResponse, request).transaction
    assert code_of(lambda: api.commit(upsert(A, n=9))) is Code.ABORTED
    api.commit(upsert(A, n=2), transaction=transaction)
    request = m.RunQueryRequest(query=query("Thing"))
    request.read_options.new_transaction.read_only.SetInParent()
    request.partition_id.project_id = "test-project"
    transaction = api.call("RunQuery", m.RunQueryResponse, request).transaction
    api.commit(transaction=transaction)


def test_an_idle_transaction_ends_and_its_locks_with_it(api: Api, clock: StandingClock) -> None:
    transaction = api.begin()
    api.lookup(A, transaction=transaction)
    clock.advance(59)
    api.lookup(A, transaction=transaction)
    clock.advance(61)
    api.service.transactions.expire()
    api.commit(upsert(A, n=1))
    assert code_of(lambda: api.commit(upsert(A), transaction=transaction)) is Code.INVALID_ARGUMENT
    api.rollback(transaction)


def test_a_transaction_ends_after_270_seconds_however_busy(api: Api, clock: StandingClock) -> None:
    transaction = api.begin()
    for _ in range(5):
        clock.advance(50)
        api.lookup(A, transaction=transaction)
    clock.advance(21)
    assert code_of(lambda: api.lookup(A, transaction=transaction)) is Code.INVALID_ARGUMENT


def test_lifetimes_can_be_chosen(make_api: Callable[..., Api], clock: StandingClock) -> None:
    api = make_api(transaction_idle_seconds=2.0, transaction_seconds=5.0)
    transaction = api.begin()
    clock.advance(2.5)
    assert code_of(lambda: api.lookup(A, transaction=transaction)) is Code.INVALID_ARGUMENT


def test_a_commit_refused_for_its_form_leaves_the_transaction_open(any_mode: Api) -> None:
    transaction = any_mode.begin()
    assert code_of(lambda: any_mode.commit(upsert(("Thing", 0)), transaction=transaction)) is (
        Code.INVALID_ARGUMENT
    )
    any_mode.commit(upsert(A, n=1), transaction=transaction)
    assert any_mode.get(*A) == {"n": 1}


def test_a_failed_commit_ends_the_transaction(api: Api) -> None:
    transaction = api.begin()
    api.lookup(A, transaction=transaction)
    wrong = m.Mutation(update=upsert(B).upsert)
    assert code_of(lambda: api.commit(wrong, transaction=transaction)) is Code.NOT_FOUND
    api.commit(upsert(A, n=1))
    api.rollback(transaction)


# Pessimistic


def test_what_a_transaction_has_read_waits_for_it_and_then_goes_on(make_api: Callable[..., Api]) -> None:
    api = make_api(lock_wait_seconds=10.0)
    transaction = api.begin()
    api.lookup(A, transaction=transaction)
    outside = InThread(lambda: api.commit(upsert(A, n="outside")))
    wait_until(lambda: waiters(api) == 1)
    api.commit(upsert(A, n="inside"), transaction=transaction)
    assert outside.code() is None
    assert api.get(*A) == {"n": "outside"}


def test_an_outside_write_that_waited_in_vain_is_aborted_and_the_transaction_commits(api: Api) -> None:
    api.commit(upsert(A, n=1))
    transaction = api.begin()
    api.lookup(A, transaction=transaction)
    assert code_of(lambda: api.commit(upsert(A, n=2))) is Code.ABORTED
    api.commit(upsert(A, n=3), transaction=transaction)
    assert api.get(*A) == {"n": 3}


def test_reads_outside_of_transactions_wait_for_nobody(api: Api) -> None:
    api.commit(upsert(A, n=1))
    transaction = api.begin()
    api.lookup(A, transaction=transaction)
    assert api.get(*A) == {"n": 1}
    assert api.names(query("Thing")) == ["a"]


def test_two_transactions_may_read_the_same_but_only_one_of_them_writes_it(api: Api) -> None:
    first, second = api.begin(), api.begin()
    api.lookup(A, transaction=first)
    api.lookup(A, transaction=second)
    younger = InThread(lambda: api.commit(upsert(A, n=2), transaction=second))
    wait_until(lambda: waiters(api) == 1)
    # Now there is a deadlock, and the younger gives way at once.
    began = time.monotonic()
    api.commit(upsert(A, n=1), transaction=first)
    assert younger.code() is Code.ABORTED
    assert time.monotonic() - began < 0.25
    assert api.get(*A) == {"n": 1}
    api.rollback(second)


def test_readers_of_what_nobody_writes_share_it_without_waiting(make_api: Callable[..., Api]) -> None:
    api = make_api(politeness_seconds=5.0)
    for _ in range(3):
        transaction = api.begin()
        api.lookup(A, transaction=transaction)
        api.commit(upsert(B), transaction=transaction)
    first, second = api.begin(), api.begin()
    began = time.monotonic()
    api.lookup(A, transaction=first)
    api.lookup(A, transaction=second)
    assert time.monotonic() - began < 1


def test_a_circle_of_polite_waits_is_broken_by_sharing(make_api: Callable[..., Api]) -> None:
    api = make_api(politeness_seconds=8.0, lock_wait_seconds=10.0)
    first, second = api.begin(), api.begin()
    api.lookup(A, transaction=first)
    api.lookup(B, transaction=second)
    waiting = InThread(lambda: api.lookup(B, transaction=first))
    wait_until(lambda: waiters(api) == 1)
    api.lookup(A, transaction=second)
    second_commits = InThread(lambda: api.commit(transaction=second))
    assert second_commits.code() is None
    assert waiting.code() is None
    api.commit(upsert(A), upsert(B), transaction=first)


def test_a_dead_clients_wait_ends_without_the_lock(make_api: Callable[..., Api]) -> None:
    api = make_api(politeness_seconds=8.0, lock_wait_seconds=10.0)
    first, second = api.begin(), api.begin()
    api.lookup(A, transaction=first)
    request = m.LookupRequest(keys=[key(*A)], project_id="test-project")
    request.read_options.transaction = second
    gone = InThread(lambda: api.service.lookup(request.SerializeToString(), lambda: False))
    wait_until(lambda: waiters(api) == 1)
    api.commit(upsert(A, n=1), transaction=first)
    assert gone.code() is Code.ABORTED
    api.commit(upsert(A, n=2))


def test_a_query_in_a_transaction_locks_what_it_would_see(api: Api) -> None:
    api.commit(upsert(A, n=1), upsert(B, n=5))
    transaction = api.begin()
    assert api.names(query("Thing", ("n", "<", 3)), transaction=transaction) == ["a"]
    assert code_of(lambda: api.commit(upsert(("Thing", "c"), n=2))) is Code.ABORTED, "a new result"
    assert code_of(lambda: api.commit(upsert(A, n=9))) is Code.ABORTED, "a result that goes"
    assert code_of(lambda: api.commit(delete(A))) is Code.ABORTED
    assert code_of(lambda: api.commit(upsert(B, n=2))) is Code.ABORTED
    api.commit(upsert(B, n=6), upsert(("Thing", "c"), n=7), upsert(("Other", "c"), n=1))
    api.commit(upsert(("Count", 1), n=1), transaction=transaction)
    api.commit(upsert(("Thing", "c"), n=2))


def test_two_transactions_that_query_and_then_write_into_each_others_results_do_not_both_commit(
    api: Api,
) -> None:
    first, second = api.begin(), api.begin()
    asked = query("Thing", ("n", ">", 0))
    assert api.find(asked, transaction=first) == api.find(asked, transaction=second) == []
    other = InThread(lambda: api.commit(upsert(B, n=1), transaction=second))
    wait_until(lambda: waiters(api) == 1)
    codes = [code_of(lambda: api.commit(upsert(A, n=1), transaction=first)), other.code()]
    assert codes == [None, Code.ABORTED]


def test_an_aggregation_in_a_transaction_locks_what_it_counts(api: Api) -> None:
    transaction = api.begin()
    assert api.aggregate(query("Thing"), ("count", "n"), transaction=transaction) == {"n": 0}
    assert code_of(lambda: api.commit(upsert(A))) is Code.ABORTED
    api.commit(transaction=transaction)
    api.commit(upsert(A))


def increment_in_threads(api: Api, threads: int, times: int, keys: int = 1) -> list[Any]:
    """Each thread adds one, `times` times, to each of the entities; the codes of what failed."""
    failed: list[Any] = []

    def run(number: int) -> None:
        for _ in range(times):
            transaction = api.begin()
            order = list(range(keys)) if number % 2 else list(reversed(range(keys)))
            try:
                found = api.lookup(*(("Hot", f"k{each}") for each in order), transaction=transaction).found
                values = {
                    each.entity.key.path[0].name: each.entity.properties["n"].integer_value for each in found
                }
                api.commit(
                    *(upsert(("Hot", f"k{each}"), n=values.get(f"k{each}", 0) + 1) for each in order),
                    transaction=transaction,
                )
            except Refused as refused:
                failed.append(refused.code)
                api.rollback(transaction)

    workers = [threading.Thread(target=run, args=(number,)) for number in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    return failed


def test_many_writers_of_one_hot_entity_all_succeed_at_the_first_try(make_api: Callable[..., Api]) -> None:
    api = make_api(lock_wait_seconds=20.0, politeness_seconds=5.0)
    assert increment_in_threads(api, threads=16, times=10) == []
    assert api.get("Hot", "k0") == {"n": 160}


def test_overlapping_sets_of_keys_in_any_order_do_not_deadlock(make_api: Callable[..., Api]) -> None:
    api = make_api(lock_wait_seconds=20.0, politeness_seconds=5.0)
    assert increment_in_threads(api, threads=8, times=6, keys=7) == []
    assert all(api.get("Hot", f"k{each}") == {"n": 48} for each in range(7))


def test_without_politeness_no_increment_is_lost_and_some_always_succeeds(
    make_api: Callable[..., Api],
) -> None:
    api = make_api(lock_wait_seconds=20.0, politeness_seconds=0.0)
    failed = increment_in_threads(api, threads=6, times=10)
    assert set(failed) <= {Code.ABORTED}
    assert api.get("Hot", "k0") == {"n": 60 - len(failed)}
    assert len(failed) < 60


# Optimistic


@pytest.fixture(params=OPTIMISTIC, ids=lambda mode: mode.value)
def optimistic(request: pytest.FixtureRequest, make_api: Callable[..., Api]) -> Api:
    return make_api(concurrency=request.param)


def test_under_optimism_the_first_commit_wins(optimistic: Api) -> None:
    optimistic.commit(upsert(A, n=1))
    transaction = optimistic.begin()
    optimistic.lookup(A, transaction=transaction)
    optimistic.commit(upsert(A, n=2))
    assert optimistic.get(*A, transaction=transaction) == {"n": 1}
    assert code_of(lambda: optimistic.commit(upsert(A, n=3), transaction=transaction)) is Code.ABORTED
    assert optimistic.get(*A) == {"n": 2}
    optimistic.rollback(transaction)


def test_under_optimism_what_was_missing_counts_as_read(optimistic: Api) -> None:
    transaction = optimistic.begin()
    optimistic.lookup(A, transaction=transaction)
    optimistic.commit(upsert(A, n=1))
    optimistic.commit(delete(A))
    assert code_of(lambda: optimistic.commit(upsert(B), transaction=transaction)) is Code.ABORTED


def test_under_optimism_unrelated_commits_do_not_meet(optimistic: Api) -> None:
    transaction = optimistic.begin()
    optimistic.lookup(A, transaction=transaction)
    optimistic.commit(upsert(B, n=1))
    optimistic.commit(upsert(A, n=1), transaction=transaction)


def test_under_optimism_queries_conflict_with_what_changes_their_results(
    make_api: Callable[..., Api],
) -> None:
    api = make_api(concurrency=Concurrency.OPTIMISTIC)
    first, second = api.begin(), api.begin()
    for transaction in (first, second):
        api.find(query("Thing", ("n", ">", 3)), transaction=transaction)
    api.commit(upsert(A, n=1))
    api.commit(upsert(("Count", 1)), transaction=first)
    api.commit(upsert(A, n=4))
    assert code_of(lambda: api.commit(upsert(("Count", 2)), transaction=second)) is Code.ABORTED


def test_with_entity_groups_a_whole_group_conflicts(make_api: Callable[..., Api]) -> None:
    api = make_api(concurrency=Concurrency.OPTIMISTIC_WITH_ENTITY_GROUPS)
    transaction = api.begin()
    api.lookup((*A, "Child", 1), transaction=transaction)
    api.commit(upsert((*A, "Child", 2)))
    assert code_of(lambda: api.commit(upsert(B), transaction=transaction)) is Code.ABORTED


def test_with_entity_groups_a_transaction_spans_25_groups_and_asks_by_ancestor(
    make_api: Callable[..., Api],
) -> None:
    api = make_api(concurrency=Concurrency.OPTIMISTIC_WITH_ENTITY_GROUPS)
    api.commit(*(upsert(("Thing", n)) for n in range(1, 26)), transaction=api.begin())
    too_many = [upsert(("Thing", n)) for n in range(1, 27)]
    assert code_of(lambda: api.commit(*too_many, transaction=api.begin())) is Code.INVALID_ARGUMENT
    transaction = api.begin()
    assert code_of(lambda: api.find(query("Thing"), transaction=transaction)) is Code.INVALID_ARGUMENT
    transaction = api.begin()
    api.find(query("Thing", ("__key__", "ancestor", key("Thing", 1))), transaction=transaction)
