"""The measurements behind the bounds of the whole: end to end, applying alone, start, memory."""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from localcloud.supervisor.ports import FreePorts
from localcloud.testing import DatastoreProcess

from bench import peers
from bench.applying import Applied, apply_classically, apply_in_groups
from bench.cost import Use, bill
from bench.others import LOCALCLOUD
from bench.stack import ROOT, Run, clean_environ, running
from bench.table import Bound, Peer, Reference, Row, median_row

_DEV_SERVER = 43.0
"""What the official dev server does a second on the machine that the absolute bounds are for."""

_BATCHES = 8
"""Batches in flight."""

_RECORDED_DEV_SERVER = Peer("dev server", _DEV_SERVER, is_recorded=True)
_RECORDED_EMULATORS = {
    "Datastore emulator": Peer("Datastore emulator", 91.0, is_recorded=True),
    "Firestore emulator": Peer("Firestore emulator", 13.0, is_recorded=True),
}


def end_to_end(*, quick: bool, rounds: int) -> list[Row]:
    """One POST each and batches through the whole stack, and what that cost."""
    count, in_batches = (1500, 20_000) if quick else (4000, 60_000)
    with running() as stack:
        stack.load(300)  # first requests are slower: imports, connections, the registry
        singles = [stack.load(count) for _ in range(rounds)]
        batches = [stack.load(in_batches, batch=100, in_flight=_BATCHES) for _ in range(rounds)]
        spread = [stack.load(in_batches, counters=100, batch=100, in_flight=_BATCHES) for _ in range(rounds)]
    # It takes half a minute to start.
    peer = _RECORDED_DEV_SERVER if quick else _dev_server(400)
    reference = None if peer.is_recorded else Reference("the machine's dev server", peer.figure, _DEV_SERVER)

    def row(work: str, runs: list[Run], bound: Bound) -> Row:
        return median_row(work, runs, bound, peer, reference=reference)

    return [
        row("one counter, one POST each", singles, Bound(946, 1_150, times_peer=22, times_aim=27)),
        row("one counter, batches of 100", batches, Bound(20_000, 40_000, times_peer=450, times_aim=900)),
        row("100 counters, batches of 100", spread, Bound(13_000, 26_000, times_peer=300, times_aim=600)),
        *_operations("64 in flight", singles, one_by_one=True),
        _bill(batches),
    ]


def _operations(where: str, runs: Sequence[Run | Applied], *, one_by_one: bool = False) -> list[Row]:
    """Datastore operations for each increment; one at a time it takes 2 reads, 2 writes and 3 RPCs."""
    bounds = {"reads": Bound(1.10, 1.07, at_most=True), "writes": Bound(1.10, 1.07, at_most=True)}
    bounds["RPCs"] = Bound(0.15, 0.11, at_most=True)
    figures = {
        "reads": (statistics.median(run.reads for run in runs), 2.0),
        "writes": (statistics.median(run.writes for run in runs), 2.0),
        "RPCs": (statistics.median(run.rpcs for run in runs), 3.0),
    }
    exact = all(run.is_exact for run in runs)
    rows = []
    for what, (ours, alone) in figures.items():
        peer = Peer("one by one", alone, is_recorded=True) if one_by_one else None
        rows.append(Row(f"Datastore {what} each, {where}", ours, "", bounds[what], peer, exact))
    return rows


def _bill(runs: Sequence[Run]) -> Row:
    """Of a million increments in batches of 100, with the one record of each when its life is over."""
    dollars = statistics.median(
        bill(Use("batches", run.reads, run.writes, run.task_operations, deletes=1 / 100)).total
        for run in runs
    )
    exact = all(run.is_exact for run in runs)
    bound = Bound(0.10, 0.05, at_most=True)
    return Row("1,000,000 increments in batches of 100, dollars", dollars, "", bound, is_exact=exact)


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
    with _idle_datastore() as address:
        alone = statistics.median(apply_in_groups(address, count).per_s for _ in range(rounds))
    emulator = _emulator("Datastore emulator", peers.datastore_emulator, 100 if quick else 400)
    bound = Bound(3_400, 5_440, times_peer=50, times_aim=80)
    wanted = bound.floor if emulator.is_recorded else 50 * emulator.figure
    reference = Reference("a Datastore that does nothing", alone, wanted)
    rows = [median_row("applying only, 64 threads", runs, bound, emulator, reference=reference)]
    if not quick:
        peer = _emulator("Firestore emulator", peers.firestore_emulator, 60)
        rows.append(median_row("applying only, 64 threads", runs, peer=peer))
    return rows + _operations("applying only", runs)


@contextmanager
def _idle_datastore() -> Iterator[str]:
    """The address of a Datastore that does nothing; localcloud's own measurements have one."""
    command = [sys.executable, "-m", "bench.idle_datastore"]
    with subprocess.Popen(
        command, cwd=LOCALCLOUD, env=clean_environ(), stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().strip()
        finally:
            process.kill()


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
    return [Row("make run to the first page", seconds, " s", Bound(2.0, 1.0, at_most=True), recorded)]


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
    bound = Bound(400, 340, at_most=True)
    return [Row(f"memory after {count:,} increments", megabytes, " MB", bound, peer, run.is_exact)]
