"""`python -m bench.datastore`: our Datastore side by side with Google's emulators, in one run.

Each measurement is repeated, the servers taking turns, and the median counts. The emulators are measured if
the Cloud SDK has them installed; `--seconds` sets the length of a measurement, `--rounds` how many there are.
The floors are those that the project promises on a quiet machine with two cores. The peer that does nothing
shows the most that the client and gRPC allow: it reached 272, 442, 132 and 2,877 where the floors were set.
For it and for ours, processor time per unit of work is printed: other work on the machine changes that least.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import psutil
from localcloud.testing import DatastoreProcess

from bench.datastore_work import Work
from bench.idle_datastore import IdleDatastore
from bench.official_emulators import OfficialEmulator

_GROUP = 32


@dataclass(frozen=True)
class Measure:
    """Something to measure: what it gives, and the floor (or, for times and sizes, the ceiling)."""

    name: str
    unit: str
    bound: float
    run: Callable[[Work], float]


@dataclass(frozen=True)
class Server:
    """Where it listens, and its process if its processor time is to be measured."""

    address: str
    pid: int | None = None

    def cpu_seconds(self) -> float:
        """What it has used since its start; 0 if that is not measured."""
        if self.pid is None:
            return 0.0
        times = psutil.Process(self.pid).cpu_times()
        return times.user + times.system


def measures(seconds: float) -> list[Measure]:
    """What is measured on every server."""
    per_second = [
        ("transaction, one thread", 180, lambda work: work.transactions(1, False, seconds)),
        ("transaction, 8 threads, 8 entities", 300, lambda work: work.transactions(8, False, seconds)),
        ("transaction, 8 threads, one entity", 100, lambda work: work.transactions(8, True, seconds)),
        ("increments in groups of 32, one thread", 1600, lambda work: work.groups(_GROUP, 1, seconds)),
    ]
    return [Measure(f"{name}, 1/s", "1/s", floor, run) for name, floor, run in per_second]


def queries() -> list[Measure]:
    """What is measured with 100,000 entities, on ours only: loading the others would take minutes."""
    return [
        Measure("newest 20", "ms", 20, lambda work: work.newest(20)),
        Measure("count", "ms", 60, lambda work: work.count()),
    ]


def main(arguments: list[str]) -> int:
    """Print the table; the exit status is 1 if something that failed should not have."""
    parser = argparse.ArgumentParser(prog="python -m bench.datastore", description=__doc__)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--entities", type=int, default=100_000)
    parser.add_argument("--ours-only", action="store_true", help="leave the official emulators out")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder, IdleDatastore() as idle:
        began = time.perf_counter()
        ours = DatastoreProcess(Path(folder)).start()
        start_seconds = time.perf_counter() - began
        rivals = [] if options.ours_only else [OfficialEmulator("datastore"), OfficialEmulator("firestore")]
        rivals = [each for each in rivals if each.is_installed]
        try:
            servers = {
                "localcloud": Server(ours.address, ours.pid),
                "does nothing": Server(idle.address, idle.pid),
            }
            for rival in rivals:
                servers[f"official {rival.name}"] = Server(rival.start().address)
            compare(servers, measures(options.seconds), options.rounds)
            print(f"\nstart to serving: {start_seconds:.2f} s (at most 1)")
            alone(ours, options.entities)
        finally:
            for rival in rivals:
                rival.stop()
            ours.kill()
    return 0


def compare(servers: dict[str, Server], some: list[Measure], rounds: int) -> None:
    """Measure on all servers in turns, and print the medians."""
    print(f"load average {os.getloadavg()[0]:.1f}, {os.cpu_count()} cores; median of {rounds} rounds")
    print(f"{'':<44}{'floor':>8}" + "".join(f"{name:>22}" for name in servers))
    for measure in some:
        found: dict[str, list[float]] = {name: [] for name in servers}
        costs: dict[str, list[float]] = {name: [] for name in servers}
        failures: dict[str, int] = dict.fromkeys(servers, 0)
        for _ in range(rounds):
            for name, server in servers.items():
                work = Work(server.address)
                cpu_before, began = server.cpu_seconds(), time.perf_counter()
                found[name].append(measure.run(work))
                done = found[name][-1] * (time.perf_counter() - began)
                costs[name].append((server.cpu_seconds() - cpu_before) * 1000 / done if done else 0.0)
                failures[name] += work.failures
        cells = [
            f"{median(found[name]):.0f}{_cost(median(costs[name]))}{_failed(failures[name])}"
            for name in servers
        ]
        print(f"{measure.name:<44}{measure.bound:>8g}" + "".join(f"{cell:>22}" for cell in cells))


def alone(server: DatastoreProcess, entities: int) -> None:
    """Our queries and memory, with many entities."""
    work = Work(server.address)
    work.load(entities)
    for measure in queries():
        value = f"{measure.run(work):.1f} {measure.unit}"
        print(f"{measure.name} of {entities}: {value} (at most {measure.bound:g})")
    memory = psutil.Process(server.pid).memory_full_info()
    print(f"memory with {entities} entities: {memory.rss / 1e6:.0f} MB resident (at most 150)")


def _cost(milliseconds: float) -> str:
    return f" ({milliseconds:.2f} ms)" if milliseconds else ""


def _failed(count: int) -> str:
    return f" ({count} failed)" if count else ""


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
