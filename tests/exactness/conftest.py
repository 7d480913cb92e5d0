"""The whole stack as `make run` starts it, with a proxy that can spoil calls; and books that must balance."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest
from localcloud.testing import LocalCloud

from bench.proof import Proof, Sums
from bench.sending import Book, Plan, send

ROOT = Path(__file__).parent.parent.parent
FILES = ("app.yaml", "worker.yaml", "queue.yaml")

PATIENCE_S = 150.0
"""How long a keyed increment is sent again: on a busy machine four kills in a row take a minute."""


class Stack:
    """A running local cloud, increments sent to it, and what it says about them."""

    def __init__(self, cloud: LocalCloud) -> None:
        self.cloud = cloud
        self._proof_at = ""
        self._pool = ThreadPoolExecutor(4)

    @property
    def proof(self) -> Proof:
        """Of what the cloud holds that runs now: one may have taken another's place."""
        if self._proof_at != self.cloud.datastore_address:
            self._proof_at = self.cloud.datastore_address
            self._proof = Proof(self._proof_at)
        return self._proof

    def counters(self, count: int = 1) -> tuple[str, ...]:
        """Names that no other test uses."""
        run = secrets.token_hex(4)
        return tuple(f"c{run}-{number}" for number in range(count))

    def start_sending(
        self, counters: Sequence[str], count: int, *, keyed: bool = True, batch: int = 1, in_flight: int = 40
    ) -> Future[Book]:
        """Send increments, in the background; the result is what was accepted."""
        plan = Plan(self.cloud.url, count, tuple(counters), in_flight, batch, keyed, PATIENCE_S)
        return self._pool.submit(lambda: asyncio.run(send(plan)))

    def send(self, counters: Sequence[str], count: int, *, keyed: bool = False, batch: int = 1) -> Book:
        return self.start_sending(counters, count, keyed=keyed, batch=batch).result(timeout=PATIENCE_S + 30)

    def assert_exact(self, counters: Sequence[str], book: Book) -> None:
        """Accepted = shards = each ring of their histories = applied records, once nothing is pending."""
        self.cloud.wait_idle(60)
        assert book.refused == book.unclear == 0, book.first_refusal
        accepted = Sums(book.accepted, book.amount)
        assert self.proof.shards(counters) == accepted
        assert self.proof.histories(counters) == [accepted] * 3
        assert self.proof.all_records(counters) == accepted


def running(folder: Path, **how: object) -> LocalCloud:
    return LocalCloud(
        FILES,
        root=ROOT,
        data=folder,
        # A transaction whose client was killed holds its locks for this long; in production it is 60 s.
        options=("--transaction-idle-seconds", "2"),
        # Retries after 0.5 s and more would make the tests slow; production's queue.yaml is used as it is.
        **how,  # type: ignore[arg-type]
    )


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with running(tmp_path_factory.mktemp("stack"), faults=True) as cloud:
        yield Stack(cloud)


@pytest.fixture(autouse=True)
def unspoiled(stack: Stack) -> Iterator[None]:
    with stack.cloud.for_one_test():
        yield


Report = Callable[[], int]
