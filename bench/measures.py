"""The measurements behind the bounds of the whole: end to end, applying alone, start, memory."""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

from localcloud.supervisor.ports import FreePorts
from localcloud.testing import DatastoreProcess

from bench import peers
from bench.applying import Applied, apply_classically, apply_in_groups
from bench.stack import ROOT, Run, clean_environ, running
from bench.table import Bound, Peer, Row, median_row

_RECORDED_DEV_SERVER = Peer("dev server", 42.0, is_recorded=True)
_RECORDED_EMULATORS = {
    "Datastore emulator": Peer("Datastore emulator", 91.0, is_recorded=True),
    "Firestore emulator": Peer("Firestore emulator", 13.0, is_recorded=True),
}


def end_to_end(*, quick: bool, rounds: int) -> list[Row]:
    """The hot counter through the whole stack, and what it cost in Datastore."""
    count = 1500 if quick else 4000
    with running() as stack:
        stack.load(300)  # first requests are slower: imports, connections, the registry
        singles = [stack.load(count) for _ in range(rounds)]
        batches = [stack.load(count, batch=100, in_flight=4) for _ in range(rounds)]
    # It takes half a minute to start.
    peer = _RECORDED_DEV_SERVER if quick else _dev_server(400)
    return [
        median_row("hot counter, one POST each", singles, Bound(500, 700, times_peer=12), peer),
        median_row("hot counter, batches of 100", batches, Bound(900, 1400, times_peer=20), peer),
        *_cost(singles),
    ]


def _cost(runs: list[Run]) -> list[Row]:
    exact = all(run.is_exact for run in runs)

    def row(what: str, figures: list[float], most: float, classic: float) -> Row:
        one_by_one = Peer("one by one", classic, is_recorded=True)
        bound = Bound(most, at_most=True)
        return Row(
            f"Datastore {what} each, 64 in flight", statistics.median(figures), "", bound, one_by_one, exact
        )

    return [
        row("reads", [run.reads for run in runs], 1.10, 2),
        row("writes", [run.writes for run in runs], 1.10, 2),
        row("RPCs", [run.rpcs for run in runs], 0.15, 3),
    ]


def _dev_server(count: int) -> Peer:
    try:
        run, _ = peers.dev_server(count)
    except peers.PeerMissing as missing:
        print(f"    dev server: {missing}; its recorded figure stands in", file=sys.stderr)
        return _RECORDED_DEV_SERVER
    return Peer("dev server" if run.is_exact else "dev server (wrong sum)", run.per_s)


def applying(*, quick: bool, rounds: int) -> list[Row]:
    """Threads that call counters/ in one process; the peers one by one, as they have no other way."""
    with DatastoreProcess() as server:
        apply_in_groups(server.address, 500)
        count = 3000 if quick else 6000
        runs = [apply_in_groups(server.address, count, counts=server.counts) for _ in range(rounds)]
    rows = [
        median_row(
            "applying only, 64 threads",
            runs,
            Bound(1500, 2000),
            _emulator("Datastore emulator", peers.datastore_emulator, 100 if quick else 400),
        )
    ]
    if not quick:
        peer = _emulator("Firestore emulator", peers.firestore_emulator, 60)
        rows.append(median_row("applying only, 64 threads", runs, peer=peer))
    for what, figures, most in (
        ("reads", [run.reads for run in runs], 1.10),
        ("writes", [run.writes for run in runs], 1.10),
        ("RPCs", [run.rpcs for run in runs], 0.15),
    ):
        each = statistics.median(figures)
        rows.append(Row(f"Datastore {what} each, applying only", each, "", Bound(most, at_most=True)))
    return rows


def _emulator(name: str, start: Callable[[], AbstractContextManager[str]], count: int) -> Peer:
    try:
        with start() as address:
            apply_classically(address, 20)
            run: Applied = apply_classically(address, count)
    except peers.PeerMissing as missing:
        print(f"    {name}: {missing}; its recorded figure stands in", file=sys.stderr)
        return _RECORDED_EMULATORS[name]
    return Peer(name if run.is_exact else f"{name} (wrong sum)", run.per_s)


def start(*, rounds: int) -> list[Row]:
    """From the command that `make run` runs to the first page."""
    recorded = Peer("dev server", 14.0, is_recorded=True)
    seconds = statistics.median(_first_page_s() for _ in range(rounds))
    return [Row("make run to the first page", seconds, " s", Bound(3.0, at_most=True), recorded)]


def _first_page_s() -> float:
    ports = FreePorts("127.0.0.1")
    with tempfile.TemporaryDirectory() as folder:
        port = ports.take()
        command = [sys.executable, "-m", "localcloud", "app.yaml", "worker.yaml", "queue.yaml"]
        command += ["--port", str(port), "--data", str(Path(folder) / "data")]
        started = time.monotonic()
        with (Path(folder) / "output").open("wb") as output:
            process = subprocess.Popen(command, cwd=ROOT, env=clean_environ(), stdout=output, stderr=output)
            try:
                while not _is_served(f"http://localhost:{port}/"):
                    if process.poll() is not None or time.monotonic() - started > 60:
                        raise RuntimeError((Path(folder) / "output").read_text())
                    time.sleep(0.02)
                return time.monotonic() - started
            finally:
                process.terminate()
                process.wait(30)


def _is_served(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=30) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def memory(*, quick: bool) -> list[Row]:
    """The whole stack's share of memory after many increments."""
    count = 5_000 if quick else 100_000
    with running() as stack:
        run = stack.load(count, counters=20, batch=100, in_flight=4, proves_records=not quick)
        megabytes = stack.cloud.memory_pss() / 1e6
    peer = Peer("Firestore emulator alone", 500, is_recorded=True)
    bound = Bound(450, at_most=True)
    return [Row(f"memory after {count:,} increments", megabytes, " MB", bound, peer, run.is_exact)]
