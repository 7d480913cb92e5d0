"""Scale beyond one machine, by simulation: the real GroupCommitter and Slot against a model of the platform.

python -m bench.simulate                          prints a table of scenarios (a few minutes)
python -m bench.simulate --chart docs/scale.svg   also draws throughput against instances

The committer's threads run on virtual time (bench/virtual.py): its locks, its sleep and its `apply` are the
only things that are replaced, and those from outside. The model's assumptions are in bench/platform_model.py.
"""

from __future__ import annotations

import argparse
import random
import statistics
import sys
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from bench.line_chart import Line, line_chart
from bench.platform_model import Books, Datastore, Instance, Queues, Scale
from bench.virtual import World

_SETTLE_S, _MEASURE_S = 8.0, 12.0


@dataclass(frozen=True)
class Result:
    """The result of one simulated scale, once it has settled."""

    scale: Scale
    applied_per_s: float
    aborted_share: float
    """Of all transactions."""
    median_s: float
    p95_s: float
    """From enqueueing to the commit."""
    mean_group: float
    redelivered_share: float
    """Failed deliveries for each increment applied."""

    @property
    def keeps_up(self) -> bool:
        return self.applied_per_s >= 0.98 * self.scale.demand_per_s


def simulate(
    scale: Scale, seed: int = 1, settle_s: float = _SETTLE_S, measure_s: float = _MEASURE_S
) -> Result:
    """Run one hot counter at this scale; the same seed gives the same result."""
    world = World()
    books = Books()
    with world.threading_in("pushtasks.group"):
        datastore = Datastore(world, scale, random.Random(f"datastore {seed}"), books)
        instances = [
            Instance(world, scale, datastore, random.Random(f"instance {number} {seed}"))
            for number in range(scale.instances)
        ]
        queues = Queues(world, scale, instances, random.Random(f"queues {seed}"), books)
        world.at(0.0, queues.tick)
        world.run(settle_s)
        books.__init__()  # type: ignore[misc]
        world.run(settle_s + measure_s)
    latencies = sorted(books.latencies_s) or [float("inf")]
    return Result(
        scale=scale,
        applied_per_s=books.applied / measure_s,
        aborted_share=books.aborted / max(1, books.aborted + books.committed),
        median_s=statistics.median(latencies),
        p95_s=latencies[int(0.95 * (len(latencies) - 1))],
        mean_group=books.applied / max(1, books.committed),
        redelivered_share=books.failed_deliveries / max(1, books.applied),
    )


DEFAULTS = Scale(demand_per_s=200, instances=8)
WIDE = replace(DEFAULTS, shards=64, slots=64, queues=24)
LARGE_GROUPS = replace(WIDE, group_size=200, threads=400)
WIDEST = replace(LARGE_GROUPS, shards=128, slots=128)

SCENARIOS = [
    ("as shipped", DEFAULTS),
    ("as shipped, hot", replace(DEFAULTS, demand_per_s=1000)),
    ("16 shards and slots", replace(DEFAULTS, demand_per_s=1000, shards=16, slots=16)),
    ("64 shards and slots", replace(WIDE, demand_per_s=3000, instances=30, queues=8)),
    ("ten thousand, many instances", replace(WIDE, demand_per_s=10_000, instances=100)),
    ("ten thousand, large groups", replace(LARGE_GROUPS, demand_per_s=10_000, instances=40)),
    ("ten thousand, all settings wide", replace(WIDEST, demand_per_s=10_000, instances=40)),
    ("beyond", replace(WIDEST, demand_per_s=20_000, instances=100, queues=48)),
]
SUSTAINED = (1.0, 5.0)
"""Writes a second that an entity can take: the planning figure, and something kinder."""

_INSTANCES = (1, 2, 5, 10, 20, 50, 100)
_CURVES = [
    ("4 shards, 8 slots", DEFAULTS),
    ("16 and 16", replace(WIDE, shards=16, slots=16)),
    ("64 and 64", WIDE),
]


def table(named: Iterable[tuple[str, Result]]) -> str:
    """Results as Markdown."""
    lines = [
        "| scenario | asked/s | instances | shards, slots | queues | group, threads | writes/entity "
        "| applied/s | aborted | median | p95 | mean group |",
        "|---|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for name, result in named:
        scale = result.scale
        mark = "" if result.keeps_up else "**"
        lines.append(
            f"| {name} | {scale.demand_per_s:,.0f} | {scale.instances} | {scale.shards}, {scale.slots} "
            f"| {scale.queues} | {scale.group_size}, {scale.threads} | {scale.writes_per_entity_s:g}/s "
            f"| {mark}{result.applied_per_s:,.0f}{mark} "
            f"| {result.aborted_share:.0%} | {result.median_s:.2f} s | {result.p95_s:.2f} s "
            f"| {result.mean_group:.0f} |"
        )
    return "\n".join(lines)


def curves() -> list[Line]:
    """What is applied if 12,000/s are asked for, against the number of instances."""
    lines = []
    for colour, (name, scale) in enumerate(_CURVES):
        for sustained in SUSTAINED:
            asked = replace(scale, demand_per_s=12_000, queues=24, writes_per_entity_s=sustained)
            points = [
                (float(count), max(1.0, simulate(replace(asked, instances=count), 1, 5, 5).applied_per_s))
                for count in _INSTANCES
            ]
            lines.append(Line(f"{name}, {sustained:g} write/s", points, colour, dashed=sustained == 1.0))
    return lines


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--chart", type=Path, metavar="FILE.svg", help="draw the chart into this file")
    options = parser.parse_args(arguments)
    results = [
        (name, simulate(replace(scale, writes_per_entity_s=sustained)))
        for name, scale in SCENARIOS
        for sustained in SUSTAINED
    ]
    print(table(results))
    if options.chart is not None:
        title = "One hot counter: increments applied per second (simulated)"
        options.chart.write_text(
            line_chart(title, "worker instances", "increments/s", curves(), _INSTANCES), encoding="utf-8"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
