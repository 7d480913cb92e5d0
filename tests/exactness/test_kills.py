"""Every increment is counted once although processes are killed (SIGKILL) in the middle of their work."""

from __future__ import annotations

import time
from concurrent.futures import Future

from localcloud.testing import LocalCloud
from localcloud.testing.waiting import wait_until

from bench.proof import Sums
from bench.sending import Book
from tests.exactness.conftest import Stack

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


def settle(stack: Stack, counters: tuple[str, ...], sending: Future[Book]) -> Book:
    book = sending.result(timeout=90)
    stack.assert_exact(counters, book)
    return book


def test_the_worker_killed_inside_a_transaction_and_between_commit_and_answer(stack: Stack) -> None:
    counters = stack.counters(4)
    registered = stack.send(counters, 8)  # so that each commit from now on is one that applies tasks
    duplicates = stack.proof.duplicates()
    sending = stack.start_sending(counters, 600)

    in_transaction = [kill_during(stack, "worker", "delay", counters) for _ in range(2)]
    after_commit = [kill_during(stack, "worker", "delay_response", counters) for _ in range(2)]

    book = sending.result(timeout=90)
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
        before = stack.proof.shards(counters).tasks
        wait_until(lambda before=before: stack.proof.shards(counters).tasks > before + 20, "progress", 30)  # type: ignore[misc]
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
