"""The whole local cloud under load: how fast, how exact, and what it cost which process."""

from __future__ import annotations

import os
import secrets
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
from localcloud.testing import LocalCloud

from bench.lean_sending import send_lean
from bench.proof import Proof, Sums

ROOT = Path(__file__).parents[1]


@dataclass(frozen=True)
class Run:
    """One load run, from the first request until the queues were idle."""

    increments: int
    seconds: float
    sending_s: float
    is_exact: bool
    """Accepted = shards = applied records, and nothing was refused or left unanswered."""
    cpu_ms: Mapping[str, float]
    """Processor time per increment, by process; `load` is the sender's own."""
    reads: float
    writes: float
    rpcs: float
    """Datastore operations per increment, as the server counted them."""
    task_operations: float
    """Billed Cloud Tasks operations per increment."""
    median_ms: float
    """Of a request's answer."""
    problem: str = ""

    @property
    def per_s(self) -> float:
        return self.increments / self.seconds


class Stack:
    """A running local cloud."""

    def __init__(self, cloud: LocalCloud) -> None:
        self.cloud = cloud
        self._proof = Proof(cloud.datastore_address)

    def load(
        self,
        count: int,
        *,
        counters: int = 1,
        batch: int = 1,
        in_flight: int = 64,
        proves_records: bool = True,
    ) -> Run:
        """Send increments of new counters, wait until they are applied, prove the sum."""
        run = secrets.token_hex(4)
        names = [f"b{run}-{number}" for number in range(counters)]
        operations, cpu = self._operations(), self._cpu_s()
        started = time.monotonic()
        book = send_lean(self.cloud.url, names, count, in_flight=in_flight, batch=batch)
        self.cloud.wait_idle(600)
        seconds = time.monotonic() - started
        used = {label: spent - cpu.get(label, 0.0) for label, spent in self._cpu_s().items()}
        done = {name: number - operations[name] for name, number in self._operations().items()}
        accepted = Sums(book.accepted, book.amount)
        exact = self._proof.shards(names) == accepted and book.accepted == count
        if exact and proves_records:
            exact = self._proof.records(book.tasks) == accepted
        latencies = sorted(book.latencies_ms)
        return Run(
            increments=count,
            seconds=seconds,
            sending_s=book.seconds,
            is_exact=exact,
            cpu_ms={label: spent * 1000 / count for label, spent in used.items()},
            reads=done["reads"] / count,
            writes=done["writes"] / count,
            rpcs=done["rpcs"] / count,
            task_operations=done["tasks"] / count,
            median_ms=latencies[len(latencies) // 2] if latencies else 0.0,
            problem=book.first_refusal,
        )

    def _operations(self) -> dict[str, float]:
        datastore: dict[str, Any] = self.cloud.counts("datastore")
        return {
            "reads": datastore["reads"],
            "writes": datastore["writes"],
            "rpcs": sum(datastore["rpcs"].values()),
            "tasks": self.cloud.counts("tasks")["operations"],
        }

    def _cpu_s(self) -> dict[str, float]:
        """Processor time by process so far, children included."""
        state = self.cloud.state
        pids = {label: process["pid"] for label, process in state["processes"].items()}
        spent = {"load": sum(os.times()[:2])}
        for label, pid in pids.items():
            tree = psutil.Process(pid)
            spent[label] = sum(_own_s(one) for one in (tree, *tree.children(recursive=True)))
        spent["supervisor"] = _own_s(psutil.Process(self.cloud.pid))
        return spent


def clean_environ() -> dict[str, str]:
    """This process's environment without addresses of servers, which would be used instead of new ones."""
    return {name: value for name, value in os.environ.items() if not name.endswith("_EMULATOR_HOST")}


def _own_s(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


@contextmanager
def running(
    *,
    instances: Mapping[str, int] | None = None,
    env: Mapping[str, str] | None = None,
    options: Sequence[str] = (),
) -> Iterator[Stack]:
    """This project's own stack, as `make run` starts it, on fresh data."""
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        files = ("app.yaml", "worker.yaml", "queue.yaml")
        cloud = LocalCloud(files, root=ROOT, data=Path(folder), instances=instances, env=env, options=options)
        with cloud:
            yield Stack(cloud)
