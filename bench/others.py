"""Figures from the benchmarks of single parts: each runs as a program of its own, and its output is read."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.stack import ROOT, clean_environ
from bench.table import Bound, Peer, Reference, Row

LOCALCLOUD = ROOT / "localcloud"


@dataclass(frozen=True)
class Figure:
    """A figure in a program's output: the first group of `pattern`; the second, if any, is `peer`'s."""

    work: str
    pattern: str
    unit: str
    bound: Bound
    peer: str = ""


def dashboard(*, quick: bool) -> list[Row]:
    records = 5_000 if quick else 1_000_000
    refreshes = 50 if quick else 200
    return _figures(
        ["-m", "bench.dashboard", "--records", str(records), "--requests", str(refreshes)],
        [
            Figure(
                f"dashboard p95, {records:,} records", r"p95 ([\d.]+) ms", " ms", Bound(80, 40, at_most=True)
            ),
            Figure("dashboard, entities read", r"ms\), (\d+) entities", "", Bound(150, at_most=True)),
        ],
        ROOT,
    )


def console(*, quick: bool) -> list[Row]:
    entities = 20_000 if quick else 100_000
    return _figures(
        ["-m", "bench.console", "--entities", str(entities), "--requests", "20" if quick else "40"],
        [
            Figure(
                f"console's slowest page p95, {entities:,} entities",
                r"slowest page p95 ([\d.]+) ms",
                " ms",
                Bound(50, at_most=True),
            )
        ],
    )


def tasks(*, quick: bool) -> list[Row]:
    rate = r"{}:\s+([\d.]+)"
    return _figures(
        ["-m", "bench.tasks", "--seconds", "2" if quick else "5"],
        [
            Figure("CreateTask, 32 at once", rate.format("CreateTask, 32 at once"), "/s", Bound(1500)),
            Figure("BatchCreateTasks of 100", rate.format("BatchCreateTasks of 100"), "/s", Bound(5000)),
            Figure(
                "deliveries while creating 500/s", rate.format("deliveries, four queues"), "/s", Bound(1500)
            ),
        ],
    )


def frontend(*, quick: bool) -> list[Row]:
    return _figures(
        ["-m", "bench.frontend", "--seconds", "2" if quick else "4", "--rounds", "1" if quick else "3"],
        [
            Figure("front end, trivial service", r"through, [^\n]*?(\d+)/s", "/s", Bound(2500)),
            Figure(
                "front end adds, median", r"median added[^\n]*?([\d.]+) ms", " ms", Bound(1.0, at_most=True)
            ),
        ],
    )


def datastore(*, quick: bool) -> list[Row]:
    """Beside a server that does nothing: what that does not reach either is the machine's or the client's.

    Its own program compares it with the emulators as well.
    """
    speeds = {
        "transaction, one thread": Bound(180, 230),
        "transaction, 8 threads, 8 entities": Bound(300, 375),
        "transaction, 8 threads, one entity": Bound(100, 110),
        "increments in groups of 32, one thread": Bound(1600, 2000),
    }
    per_s = r"\s+(\d+) \([\d.]+ ms\)"
    rounds = ["--seconds", "2", "--rounds", "1"] if quick else ["--seconds", "3", "--rounds", "3"]
    return _figures(
        ["-m", "bench.datastore", "--ours-only", *rounds],
        [
            *(
                Figure(name, rf"{name}, 1/s\s+[\d.]+{per_s}{per_s}", "/s", bound, peer="does nothing")
                for name, bound in speeds.items()
            ),
            Figure("newest 20 of 100,000", r"newest 20 of \d+: ([\d.]+)", " ms", Bound(20, at_most=True)),
            Figure("count of 100,000", r"count of \d+: ([\d.]+)", " ms", Bound(60, at_most=True)),
            Figure("Datastore starts", r"start to serving: ([\d.]+)", " s", Bound(1, at_most=True)),
            Figure("Datastore's memory", r"memory with[^\n]*?: (\d+) MB", " MB", Bound(150, at_most=True)),
        ],
    )


def _figures(command: Sequence[str], figures: Sequence[Figure], folder: Path = LOCALCLOUD) -> list[Row]:
    done = subprocess.run(
        [sys.executable, *command],
        cwd=folder,
        env=clean_environ(),
        capture_output=True,
        text=True,
        check=False,
    )
    rows = []
    for figure in figures:
        found = re.search(figure.pattern, done.stdout)
        if found is None:
            print(f"    {' '.join(command)}: no figure.\n{done.stdout}{done.stderr[-2000:]}", file=sys.stderr)
            rows.append(Row(f"{figure.work}: FAILED", 0.0, figure.unit, figure.bound, is_exact=True))
        else:
            ours, *theirs = (float(group.replace(",", "")) for group in found.groups())
            peer = Peer(figure.peer, theirs[0]) if theirs else None
            # The peer of these does nothing: what it does not reach either is the machine's.
            reference = Reference(figure.peer, theirs[0], figure.bound.floor) if theirs else None
            rows.append(Row(figure.work, ours, figure.unit, figure.bound, peer, reference=reference))
    return rows
