"""Applying alone: threads that call the engine in one process, against a Datastore of any make."""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from google.cloud import ndb
from localcloud.testing.client_environment import clients_of

from bench.proof import Proof, Sums
from counters.settings import CounterSettings
from counters.update_counter import UpdateCounter
from pushtasks.applier import Applier
from pushtasks.database import Database
from pushtasks.delivery import Delivery
from pushtasks.group import GroupCommitter
from pushtasks.slots import Slot

PROJECT = "local-project"


@dataclass(frozen=True)
class Applied:
    """How fast increments of one hot counter were applied."""

    increments: int
    seconds: float
    is_exact: bool
    reads: float = 0.0
    writes: float = 0.0
    rpcs: float = 0.0
    """Datastore operations per increment, if the server was asked for its counts."""

    @property
    def per_s(self) -> float:
        return self.increments / self.seconds


def apply_in_groups(
    address: str, count: int, threads: int = 64, counts: Callable[[], Any] | None = None
) -> Applied:
    """Ours: each increment a task with a record, applied exactly once, in groups.

    `counts` asks the server what it has counted; the proof of the sum reads, too, and is left out.
    """
    counter = f"b{secrets.token_hex(4)}"
    with clients_of(address):
        settings = CounterSettings.read({"GOOGLE_CLOUD_PROJECT": PROJECT})
        database = Database(PROJECT)
        slot = Slot(settings.slots)
        applier = Applier(UpdateCounter(settings), database, settings, slot)
        committer = GroupCommitter(
            applier.apply, slot, settings.group_size, declared_keys=applier.declared_keys
        )
    body = b'{"counter":"%s","amount":1}' % counter.encode()

    def task(number: int) -> Delivery:
        return Delivery(
            name=f"{secrets.token_hex(8)}-{number}",
            queue="counter-updates-0",
            path=f"/{UpdateCounter.name}",
            content_type="application/json",
            body=body,
            enqueued_at=datetime.now(UTC),
        )

    committer.commit(applier.receive(task(-1)))  # registers the counter, opens the connection
    before = counts() if counts else None
    seconds = _run(lambda number: committer.commit(applier.receive(task(number))), count, threads)
    after = counts() if counts else None
    is_exact = Proof(address, PROJECT).shards([counter]) == Sums(count + 1, count + 1)
    if before is None or after is None:
        return Applied(count, seconds, is_exact)
    reads, writes = ((after[what] - before[what]) / count for what in ("reads", "writes"))
    rpcs = (sum(after["rpcs"].values()) - sum(before["rpcs"].values())) / count
    return Applied(count, seconds, is_exact, reads, writes, rpcs)


class BenchCounter(ndb.Model):
    """The classic sample's counter: one entity, nothing that survives a redelivery."""

    count = ndb.IntegerProperty(indexed=False, default=0)


def apply_classically(address: str, count: int, threads: int = 8) -> Applied:
    """The classic way, with google-cloud-ndb as it is: one transaction of its own for each increment."""
    with clients_of(address):
        client = ndb.Client(project=PROJECT)
    name = f"b{secrets.token_hex(4)}"

    def add() -> None:
        counter = BenchCounter.get_by_id(name) or BenchCounter(id=name)
        counter.count += 1
        counter.put()

    def increment(number: int) -> None:  # noqa: ARG001 - all are alike
        with client.context():
            ndb.transaction(add, retries=50)

    seconds = _run(increment, count, threads)
    with client.context():
        value = BenchCounter.get_by_id(name).count
    return Applied(count, seconds, value == count)


def _run(increment: Callable[[int], object], count: int, threads: int) -> float:
    """Seconds that `threads` took to call `increment` with each number up to `count`."""
    numbers = iter(range(count))
    failures: list[BaseException] = []

    def work() -> None:
        try:
            for number in _shared(numbers, lock):
                increment(number)
        except Exception as error:  # noqa: BLE001 - raised again by the caller
            failures.append(error)

    lock = threading.Lock()
    workers = [threading.Thread(target=work) for _ in range(threads)]
    started = time.monotonic()
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    if failures:
        raise failures[0]
    return time.monotonic() - started


def _shared(numbers: Iterator[int], lock: threading.Lock) -> Iterable[int]:
    while True:
        with lock:
            number = next(numbers, None)
        if number is None:
            return
        yield number
