"""What increments cost at list prices, from counted operations.

python -m bench.cost [--increments 2000]      measures one by one and grouped, prints the bill of a million
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass

READ, WRITE, DELETE = 0.03 / 100_000, 0.09 / 100_000, 0.01 / 100_000
"""Dollars an entity, us-central1, list price, before the free tier. nam5 multi-region: twice as much."""

TASK_OPERATION = 0.40 / 1_000_000
"""Dollars a billed operation of Cloud Tasks beyond the first million a month: a call, or a push attempt."""


@dataclass(frozen=True)
class Use:
    """Billed operations of one increment."""

    name: str
    reads: float
    writes: float
    task_operations: float
    deletes: float = 1.0
    """Of records, when their life is over, by the TTL policy; billed as a delete."""


@dataclass(frozen=True)
class Bill:
    """Dollars, by what they are for."""

    use: Use
    reads: float
    writes: float
    deletes: float
    tasks: float

    @property
    def total(self) -> float:
        return self.reads + self.writes + self.deletes + self.tasks


def bill(use: Use, increments: int = 1_000_000) -> Bill:
    """The list price of `increments`; instance hours are extra."""
    return Bill(
        use,
        reads=use.reads * increments * READ,
        writes=use.writes * increments * WRITE,
        deletes=use.deletes * increments * DELETE,
        tasks=use.task_operations * increments * TASK_OPERATION,
    )


def table(bills: Sequence[Bill]) -> str:
    """The bills as Markdown."""
    lines = [
        "| increments | reads, writes each | reads | writes | deletes (TTL) | Cloud Tasks | total |",
        "|---|---|---|---|---|---|---|",
    ]
    for each in bills:
        use = each.use
        lines.append(
            f"| {use.name} | {use.reads:.2f}, {use.writes:.2f} | ${each.reads:.2f} | ${each.writes:.2f} "
            f"| ${each.deletes:.2f} | ${each.tasks:.2f} | **${each.total:.2f}** |"
        )
    return "\n".join(lines)


def measured(name: str, count: int, group_size: int | None, batch: int, in_flight: int) -> Use:
    """Counted on the local stack, by its own servers."""
    from bench.stack import running

    env = {"COUNTER_GROUP_SIZE": str(group_size)} if group_size else {}
    with running(env=env) as stack:
        stack.load(100)  # registers counters, fills caches
        run = stack.load(count, batch=batch, in_flight=in_flight)
    if not run.is_exact:
        raise SystemExit(f"{name}: the sum is wrong. {run.problem}")
    return Use(name, run.reads, run.writes, run.task_operations, deletes=1 / batch)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.cost", description="The bill of a million.")
    parser.add_argument("--increments", type=int, default=2000, help="to measure with (default 2000)")
    count = parser.parse_args(arguments).increments
    print(
        table(
            [
                bill(measured("one by one (group size 1)", count, 1, 1, 64)),
                bill(measured("grouped, 64 in flight", count, None, 1, 64)),
                bill(measured("grouped, batches of 100", count, None, 100, 4)),
            ]
        )
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
