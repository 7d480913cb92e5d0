"""Every increment is counted once although processes are killed (SIGKILL) in the middle of their work."""

from __future__ import annotations

import time
from concurrent.futures import Future

import pytest
from google.api_core.exceptions import ServiceUnavailable
from localcloud.testing import LocalCloud
from localcloud.testing.waiting import wait_until

from bench.proof import Sums
from bench.sending import Book
from tests.exactness.conftest import PATIENCE_S, Stack

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

DELAY_S = 2.0


def strikes(cloud: LocalCloud) -> int:
    """How many commits the proxy has held up so far."""
    return sum(rule["struck"] for rule in cloud.fault_report()["datastore"]["rules"])


def kill_during(stack: Stack, victim: str, fault: str, counters: tuple[str, ...]) -> bool:
    """Kill `victim` while the proxy holds a commit, or its answer, back; whether that was in time."""
    stack.cloud.set_faults(
        datastore=[{"method": "Commit", "fault": fault, "delay_seconds": DELAY_S, "times": 1}]
    )
    wait_until(lambda: strikes(stack.cloud) > 0, "a commit to be held up", 30)
    held_since = time.monotonic()
    if fault == "delay_response":
        wait_for_the_commit(stack, counters, held_since + DELAY_S / 2)
    stack.cloud.kill(victim)
    in_time = time.monotonic() - held_since < DELAY_S
    stack.cloud.wait_ready(victim)
    stack.cloud.clear_faults()
    return in_time


def wait_for_the_commit(stack: Stack, counters: tuple[str, ...], deadline: float) -> None:
    """Return once the shards have moved, or won't any more: the one worker commits one group at a time."""
    before = stack.proof.shards(counters)
    while stack.proof.shards(counters) == before and time.monotonic() < deadline:
        pass


def wait_for_progress(stack: Stack, counters: tuple[str, ...], increments: int) -> None:
    """Return once that many more increments are applied."""
    wanted = stack.proof.shards(counters).increments + increments
    wait_until(lambda: stack.proof.shards(counters).increments >= wanted, "progress", 30)


def settle(stack: Stack, counters: tuple[str, ...], sending: Future[Book]) -> Book:
    book = sending.result(timeout=PATIENCE_S + 30)
    stack.assert_exact(counters, book)
    return book


def test_the_worker_killed_inside_a_transaction_and_between_commit_and_answer(stack: Stack) -> None:
    counters = stack.counters(4)
    registered = stack.send(counters, 8)  # so that each commit from now on is one that applies tasks
    duplicates = stack.proof.duplicates()
    sending = stack.start_sending(counters, 600)

    in_transaction = [kill_during(stack, "worker", "delay", counters) for _ in range(2)]
    after_commit = [kill_during(stack, "worker", "delay_response", counters) for _ in range(2)]

    book = sending.result(timeout=PATIENCE_S + 30)
    book.accepted, book.amount = book.accepted + registered.accepted, book.amount + registered.amount
    stack.assert_exact(counters, book)
    assert any(in_transaction), "no kill landed inside an open transaction"
    assert any(after_commit), "no kill landed between a commit and its answer"
    assert stack.proof.duplicates() > duplicates, "what was committed without an answer was delivered again"


def test_the_datastore_killed_while_increments_are_applied(stack: Stack) -> None:
    counters = stack.counters(4)
    sending = stack.start_sending(counters, 400)

    in_transaction = [kill_during(stack, "datastore", "delay", counters) for _ in range(2)]
    after_commit = [kill_during(stack, "datastore", "delay_response", counters) for _ in range(2)]

    settle(stack, counters, sending)
    assert any(in_transaction), "no kill landed inside an open transaction"
    assert any(after_commit), "no kill landed between a commit and its answer"


def test_the_queue_killed_while_it_delivers_and_takes_in(stack: Stack) -> None:
    counters = stack.counters(4)
    duplicates = stack.proof.duplicates()
    sending = stack.start_sending(counters, 600)

    in_transaction = [kill_during(stack, "tasks", "delay", counters) for _ in range(2)]
    after_commit = [kill_during(stack, "tasks", "delay_response", counters) for _ in range(2)]

    settle(stack, counters, sending)
    assert any(in_transaction), "no kill landed inside an open transaction"
    assert any(after_commit), "no kill landed between a commit and its answer"
    assert stack.proof.duplicates() > duplicates, "what was applied without an answer was delivered again"


def test_the_default_service_killed_while_it_enqueues(stack: Stack) -> None:
    counters = stack.counters(4)
    sending = stack.start_sending(counters, 400)

    for _ in range(2):
        wait_for_progress(stack, counters, 20)
        stack.cloud.kill("default")
        stack.cloud.wait_ready("default")

    book = settle(stack, counters, sending)
    assert book.repeated, "requests were cut off, and repeated under the same key"


def test_everything_survives_a_stop_and_a_start(stack: Stack) -> None:
    counters = stack.counters(2)
    book = stack.send(counters, 50)
    stack.assert_exact(counters, book)

    assert stack.cloud.stop() == 0
    stack.cloud.start()
    stack.__init__(stack.cloud)  # type: ignore[misc]

    assert stack.proof.shards(counters) == Sums(book.accepted, book.amount)


class Watcher:
    """Looks at the counters again and again. Each batch adds as much to all of them, so they stay even."""

    def __init__(self, stack: Stack, counters: tuple[str, ...]) -> None:
        self._stack = stack
        self._counters = counters
        self.uneven: list[dict[str, int]] = []

    def look(self) -> bool:
        """Whether there was something to be seen: a Datastore that was just killed takes a moment."""
        try:
            found = self._stack.proof.at_one_moment(self._counters)
        except ServiceUnavailable:
            return False
        if len(set(found.values())) != 1:
            self.uneven.append(found)
        return True

    def look_until(self, sending: Future[Book]) -> None:
        while not sending.done():
            self.look()


@pytest.mark.parametrize("victim", ["worker", "datastore", "tasks"])
def test_no_batch_is_half_applied_whatever_is_killed(stack: Stack, victim: str) -> None:
    counters = stack.counters(4)
    registered = stack.send(counters, 40, batch=20)
    sending = stack.start_sending(counters, 12_000, batch=20, in_flight=30)

    in_transaction = [kill_during(stack, victim, "delay", counters) for _ in range(2)]
    after_commit = [kill_during(stack, victim, "delay_response", counters) for _ in range(2)]
    watcher = Watcher(stack, counters)
    watcher.look_until(sending)

    book = sending.result(timeout=PATIENCE_S + 30)
    book.accepted, book.amount = book.accepted + registered.accepted, book.amount + registered.amount
    stack.assert_exact(counters, book)
    wait_until(watcher.look, "a last look")
    assert watcher.uneven == []
    each = book.accepted // len(counters)
    assert stack.proof.at_one_moment(counters) == dict.fromkeys(counters, each)
    assert any(in_transaction), "no kill landed inside an open transaction"
    assert any(after_commit), "no kill landed between a commit and its answer"


def test_batches_are_enqueued_once_although_the_default_service_is_killed(stack: Stack) -> None:
    counters = stack.counters(4)
    sending = stack.start_sending(counters, 12_000, batch=20, in_flight=30)

    for _ in range(2):
        wait_for_progress(stack, counters, 200)
        stack.cloud.kill("default")
        stack.cloud.wait_ready("default")

    book = settle(stack, counters, sending)
    assert book.repeated, "requests were cut off, and repeated under the same key"
    assert stack.proof.at_one_moment(counters) == dict.fromkeys(counters, book.accepted // len(counters))
