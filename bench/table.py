"""The benchmarks' table: what was measured, against which peer and which bound, and whether it is met."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol


class Rated(Protocol):
    """A run that counted something."""

    @property
    def is_exact(self) -> bool: ...

    @property
    def per_s(self) -> float: ...


@dataclass(frozen=True)
class Bound:
    """What a figure must reach: a floor to rise above, or, with `at_most`, a ceiling to stay under."""

    floor: float
    aim: float | None = None
    at_most: bool = False
    times_peer: float | None = None
    """How many times the peer's figure it must be as well; judged only if the peer ran in the same run."""


@dataclass(frozen=True)
class Peer:
    """The same work done by something else."""

    name: str
    figure: float
    is_recorded: bool = False
    """Not measured in this run, but once on a 2-core machine like the one that the bounds are for."""


@dataclass(frozen=True)
class Row:
    """One line of the table."""

    work: str
    ours: float
    unit: str
    bound: Bound | None = None
    peer: Peer | None = None
    is_exact: bool = True
    """False where the sum was wrong: then no speed counts."""

    @property
    def ratio(self) -> float | None:
        """How many times better than the peer; above 1 is better, whichever way the figure counts."""
        if self.peer is None or not self.peer.figure or not self.ours:
            return None
        ratio = self.ours / self.peer.figure
        return 1 / ratio if self.bound is not None and self.bound.at_most else ratio

    @property
    def is_met(self) -> bool:
        if not self.is_exact:
            return False
        if self.bound is None:
            return True
        times = self.bound.times_peer
        if times and self.peer and not self.peer.is_recorded and (self.ratio or 0.0) < times:
            return False
        return _reaches(self.ours, self.bound.floor, self.bound.at_most)

    @property
    def verdict(self) -> str:
        if not self.is_exact:
            return "NO: WRONG SUM"
        if self.bound is None:
            return ""
        if not self.is_met:
            return "NO"
        aim = self.bound.aim
        return "yes, aim" if aim is not None and _reaches(self.ours, aim, self.bound.at_most) else "yes"


def _reaches(figure: float, bound: float, at_most: bool) -> bool:
    return figure <= bound if at_most else figure >= bound


def median_row(
    work: str, runs: Sequence[Rated], bound: Bound | None = None, peer: Peer | None = None, unit: str = "/s"
) -> Row:
    """The median of several runs; exact only if every one was."""
    return Row(
        work,
        statistics.median(run.per_s for run in runs),
        unit,
        bound,
        peer,
        all(run.is_exact for run in runs),
    )


HEADINGS = ("work", "ours", "peer", "ratio", "bound (aim)", "met")


def cells(row: Row) -> tuple[str, ...]:
    peer, ratio, bound = "", "", ""
    if row.peer is not None:
        peer = f"{row.peer.name} {number(row.peer.figure)}" + (" (recorded)" if row.peer.is_recorded else "")
    if row.ratio is not None:
        ratio = f"{row.ratio:.{1 if row.ratio >= 1 else 2}f}x"
    if row.bound is not None:
        bound = ("<= " if row.bound.at_most else ">= ") + number(row.bound.floor)
        if row.bound.aim is not None:
            bound += f" ({number(row.bound.aim)})"
        if row.bound.times_peer is not None:
            bound += f", {row.bound.times_peer:g}x"
    return row.work, number(row.ours) + row.unit, peer, ratio, bound, row.verdict


def rendered(rows: Iterable[Row]) -> str:
    """The table as Markdown, its columns aligned."""
    lines = [HEADINGS, *(cells(row) for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(HEADINGS))]
    texts = [
        "| " + " | ".join(f"{cell:<{width}}" for cell, width in zip(line, widths, strict=True)) + " |"
        for line in lines
    ]
    rule = "|" + "|".join("-" * (width + 2) for width in widths) + "|"
    return "\n".join([texts[0], rule, *texts[1:]])


def number(value: float) -> str:
    """As many digits as mean something."""
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"
