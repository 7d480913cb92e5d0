"""Concurrent transactions in every mode: money is neither made nor lost, and no two decisions cross."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable

import grpc
import pytest
from localcloud.datastore.commits import Concurrency
from localcloud.datastore.errors import Refused

from tests.datastore.api import Api, key, query, upsert

_ACCOUNTS = 4
_TOTAL = 100 * _ACCOUNTS
BANK = ("Bank", 1)


@pytest.fixture(params=list(Concurrency), ids=lambda mode: mode.value)
def bank(request: pytest.FixtureRequest, make_api: Callable[..., Api]) -> Api:
    api = make_api(concurrency=request.param, lock_wait_seconds=10.0, politeness_seconds=0.02)
    api.commit(*(upsert((*BANK, "Account", number), n=100) for number in range(1, _ACCOUNTS + 1)))
    return api


def until_committed(api: Api, body: Callable[[bytes], None]) -> int:
    """Run a transaction again and again until it commits; how often it was aborted."""
    aborted = 0
    while True:
        transaction = api.begin()
        try:
            body(transaction)
        except Refused as refused:
            assert refused.code is grpc.StatusCode.ABORTED
            api.rollback(transaction)
            aborted += 1
            assert aborted < 500, "no progress"
        else:
            return aborted


def in_threads(count: int, work: Callable[[int], None]) -> None:
    problems: list[BaseException] = []

    def run(number: int) -> None:
        try:
            work(number)
        except BaseException as problem:
            problems.append(problem)
            raise

    threads = [threading.Thread(target=run, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not problems


def balances(api: Api, transaction: bytes | None = None) -> list[int]:
    asked = query("Account", ("__key__", "ancestor", key(*BANK)))
    return [each.entity.properties["n"].integer_value for each in api.find(asked, transaction=transaction)]


@pytest.mark.filterwarnings("error::pytest.PytestUnhandledThreadExceptionWarning")
def test_transfers_keep_the_total_and_every_snapshot_shows_it(bank: Api) -> None:
    def transfer_and_audit(number: int) -> None:
        chance = random.Random(number)
        for _ in range(12):
            source, target = chance.sample(range(1, _ACCOUNTS + 1), 2)

            def transfer(transaction: bytes, source: int = source, target: int = target) -> None:
                one, other = ((*BANK, "Account", each) for each in (source, target))
                first = bank.get(*one, transaction=transaction)["n"]
                second = bank.get(*other, transaction=transaction)["n"]
                bank.commit(upsert(one, n=first - 1), upsert(other, n=second + 1), transaction=transaction)

            until_committed(bank, transfer)
            audit = bank.begin(read_only=True)
            assert sum(balances(bank, audit)) == _TOTAL
            assert sum(balances(bank)) == _TOTAL

    in_threads(5, transfer_and_audit)
    assert sum(balances(bank)) == _TOTAL


@pytest.mark.filterwarnings("error::pytest.PytestUnhandledThreadExceptionWarning")
def test_of_several_on_duty_the_last_one_stays(bank: Api) -> None:
    """Everybody leaves only if another one is there: two who look at the same time must not both leave."""
    hospital = ("Hospital", 1)
    bank.commit(*(upsert((*hospital, "Doctor", number), duty=True) for number in range(1, 6)))
    on_duty = query("Doctor", ("__key__", "ancestor", key(*hospital)), ("duty", "=", True))

    def leave(number: int) -> None:
        def body(transaction: bytes) -> None:
            if len(bank.find(on_duty, transaction=transaction)) > 1:
                bank.commit(upsert((*hospital, "Doctor", number + 1), duty=False), transaction=transaction)
            else:
                bank.rollback(transaction)

        until_committed(bank, body)

    in_threads(5, leave)
    assert len(bank.find(on_duty)) == 1
