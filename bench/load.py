"""`make load`: send increments to a running stack, wait until they are applied, and prove the sum.

python -m bench.load --count 2000 [--batch 100] [--counters 5] [--in-flight 64] [--keyed]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import secrets
import statistics
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from bench.proof import Proof
from bench.sending import Book, Plan, send

_BAR_WIDTH = 40
_QUIET_S = 60.0
_RESTART_S = 5.0


def main(arguments: list[str] | None = None) -> int:
    options = _options(arguments)
    state_file = Path(options.data) / "state.json"
    try:
        state = json.loads(state_file.read_text())
        _counts(state)
    except OSError as error:
        print(
            f"Nothing runs on the data folder {options.data} ({error}). Start it first, in another terminal: "
            "make run (with the same DATA=... if you chose one).",
            file=sys.stderr,
        )
        return 1
    proof = Proof(state["datastore"]["address"], state["project"])
    run = secrets.token_hex(3)
    counters = tuple(f"load-{run}-{number}" for number in range(options.counters))
    plan = Plan(
        url=f"http://{state['address']}",
        count=options.count,
        counters=counters,
        in_flight=options.in_flight,
        batch=options.batch,
        keyed=options.keyed,
    )
    before, duplicates = _counts(state), proof.duplicates()
    started = time.monotonic()
    book = asyncio.run(send(plan, _Bar("answered", options.count).show))
    _wait_until_idle(state, _delivered(before), book)
    seconds = time.monotonic() - started
    after = _counts(state)
    return _report(proof, counters, book, seconds, before, after, duplicates)


class _Bar:
    """A progress bar on the terminal; a line now and then elsewhere."""

    def __init__(self, name: str, total: int) -> None:
        self._name, self._total = name, total
        self._next = 0.0

    def show(self, done: int) -> None:
        now = time.monotonic()
        if now < self._next and done < self._total:
            return
        self._next = now + (0.1 if sys.stdout.isatty() else 5.0)
        filled = _BAR_WIDTH * done // max(1, self._total)
        bar = "#" * filled + "." * (_BAR_WIDTH - filled)
        end = "\n" if done >= self._total or not sys.stdout.isatty() else ""
        print(f"\r{self._name:>9} [{bar}] {done:,} of {self._total:,}", end=end, flush=True)


def _wait_until_idle(state: dict[str, Any], delivered_before: int, book: Book) -> None:
    """Wait until no task is pending or in flight; give up when nothing has moved for a minute."""
    bar = _Bar("applied", book.accepted)
    seen, since = -1, time.monotonic()
    while time.monotonic() - since < _QUIET_S:
        delivered = _delivered(_counts(state)) - delivered_before
        bar.show(min(delivered, book.accepted))
        if delivered != seen:
            seen, since = delivered, time.monotonic()
        try:
            _get(state["tasks"]["http"], "/idle?timeout=0.1")
        except urllib.error.HTTPError:
            continue
        bar.show(book.accepted)
        return
    print(f"\nNothing was delivered for {_QUIET_S:.0f} s, but tasks are pending: see the dashboard's queues.")


def _report(
    proof: Proof,
    counters: tuple[str, ...],
    book: Book,
    seconds: float,
    before: dict[str, Any],
    after: dict[str, Any],
    duplicates_before: int,
) -> int:
    shards, records = proof.shards(counters), proof.records(book.tasks)
    if book.unclear:
        records = proof.all_records(counters)
    exact = (
        (book.accepted, book.amount)
        == (shards.increments, shards.amount)
        == (records.increments, records.amount)
    )
    print()
    print(f"  accepted     {book.accepted:,} increments, sum {book.amount:,}")
    print(f"  shards       {shards}")
    print(f"  records      {records} (applied)")
    print(f"  duplicates   {proof.duplicates() - duplicates_before:,} deliveries suppressed meanwhile")
    if book.refused or book.unclear:
        print(
            f"  refused      {book.refused:,}; without a clear answer {book.unclear:,}: {book.first_refusal}"
        )
    if book.repeated:
        print(f"  repeated     {book.repeated:,} under the same Idempotency-Key")
    rate, applied = book.accepted / max(book.seconds, 1e-9), shards.increments / max(seconds, 1e-9)
    print(f"  speed        {rate:,.0f} accepted/s, {applied:,.0f} applied/s end to end")
    if book.latencies_ms:
        ordered = sorted(book.latencies_ms)
        p95 = ordered[int(len(ordered) * 0.95) - 1]
        print(f"  request      median {statistics.median(ordered):.1f} ms, p95 {p95:.1f} ms")
    _report_cost(before, after, shards.increments)
    print()
    if exact:
        print("EXACT: accepted = shards = applied records.")
    elif book.unclear and shards == records:
        print(
            f"CONSISTENT: shards = applied records, but {book.unclear:,} requests had no clear answer, so "
            "what was accepted isn't known. Repeat with --keyed to settle each."
        )
    else:
        print("NOT EXACT: the three above differ.")
    return 0 if exact else 1


def _report_cost(before: dict[str, Any], after: dict[str, Any], increments: int) -> None:
    """What the servers counted during the run, for each increment."""
    if not increments or "datastore" not in after:
        return
    used, was = after["datastore"], before["datastore"]
    if used["reads"] < was["reads"]:
        return  # it was restarted in between, and has counted from 0
    reads, writes = ((used[kind] - was[kind]) / increments for kind in ("reads", "writes"))
    rpcs = (sum(used["rpcs"].values()) - sum(was["rpcs"].values())) / increments
    print(f"  Datastore    {reads:.2f} reads, {writes:.2f} writes, {rpcs:.2f} RPCs an increment")
    if "tasks" in after:
        operations = after["tasks"]["operations"] - before["tasks"]["operations"]
        print(f"  Cloud Tasks  {operations / increments:.2f} billed operations an increment")


def _counts(state: dict[str, Any]) -> dict[str, Any]:
    """What localcloud's servers have counted so far; nothing of a server that isn't localcloud's."""
    servers = [server for server in ("datastore", "tasks") if state[server].get("http")]
    deadline = time.monotonic() + _RESTART_S
    while True:
        try:
            return {server: _get(state[server]["http"], "/counts") for server in servers}
        except OSError:  # killed by somebody who wants to see what happens: it is started again
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)


def _delivered(counts: dict[str, Any]) -> int:
    """Deliveries that succeeded so far."""
    return int(counts["tasks"]["deliveries"].get("success", 0))


def _get(address: str, path: str) -> Any:
    with urllib.request.urlopen(f"http://{address}{path}", timeout=10) as answer:
        text = answer.read()
    return json.loads(text) if text.startswith(b"{") else None


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m bench.load", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument("--data", default=".localcloud", metavar="FOLDER", help="that of make run")
    parser.add_argument("--count", type=_positive, default=2000, help="increments to send (default 2000)")
    parser.add_argument("--counters", type=_positive, default=5, help="spread over so many (default 5)")
    parser.add_argument("--in-flight", type=_positive, default=64, help="requests at a time (default 64)")
    parser.add_argument(
        "--batch", type=_positive, default=1, help="increments in a request, to 1,000 (default 1)"
    )
    parser.add_argument("--keyed", action="store_true", help="with Idempotency-Keys; repeat what is unclear")
    return parser.parse_args(arguments)


def _positive(text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 1 on")
    return int(text)


if __name__ == "__main__":
    sys.exit(main())
