"""`make bench` and `make bench-quick`: every bound of the design, measured and judged in one table.

python -m bench [--quick] [--only end-to-end,applying,...] [--rounds 3]

Sums are proved in every run; a fast wrong sum is a failure. Peers run in the same run where they are
installed; otherwise the figures once recorded stand in, and say so. Exits 1 if a bound isn't met.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from bench import measures, others
from bench.table import Row, rendered


@dataclass(frozen=True)
class Extent:
    """How much to measure."""

    quick: bool
    rounds: int


PARTS: dict[str, Callable[[Extent], Iterable[Row]]] = {
    "end-to-end": lambda extent: measures.end_to_end(quick=extent.quick, rounds=extent.rounds),
    "applying": lambda extent: measures.applying(quick=extent.quick, rounds=extent.rounds),
    "start": lambda extent: measures.start(rounds=extent.rounds),
    "memory": lambda extent: measures.memory(quick=extent.quick),
    "dashboard": lambda extent: others.dashboard(quick=extent.quick),
    "console": lambda extent: others.console(quick=extent.quick),
    "tasks": lambda extent: others.tasks(quick=extent.quick),
    "frontend": lambda extent: others.frontend(quick=extent.quick),
    "datastore": lambda extent: others.datastore(quick=extent.quick),
}
_NOT_IN_QUICK = {"frontend", "datastore"}


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="less of everything; under two minutes")
    parser.add_argument("--only", help="parts, with commas between: " + ", ".join(PARTS))
    parser.add_argument("--rounds", type=int, help="runs to take medians of (default 3, quick 1)")
    options = parser.parse_args(arguments)
    extent = Extent(options.quick, options.rounds or (1 if options.quick else 3))
    wanted = (
        options.only.split(",")
        if options.only
        else [name for name in PARTS if not (options.quick and name in _NOT_IN_QUICK)]
    )
    if unknown := set(wanted) - set(PARTS):
        parser.error(f"unknown parts: {', '.join(sorted(unknown))}. There are: {', '.join(PARTS)}")
    started = time.monotonic()
    rows: list[Row] = []
    for name in wanted:
        began = time.monotonic()
        rows += PARTS[name](extent)
        print(f"... {name}: {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)
    print(rendered(rows))
    busy = os.getloadavg()[0]
    print(
        f"\n{os.cpu_count()} cores; medians of {extent.rounds}; {time.monotonic() - started:.0f} s; "
        f"load average at the end {busy:.1f} (ours included)."
    )
    return 0 if all(row.is_met for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
