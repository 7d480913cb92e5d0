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
    times_aim: float | None = None
    """How many times the peer's figure it must be. Where the peer runs in the same run these judge instead of
    `floor` and `aim`, which are for one machine."""


@dataclass(frozen=True)
class Peer:
    """The same work done by something else."""

    name: str
    figure: float
    is_recorded: bool = False
    """Not measured in this run, but once on a 2-core machine like the one that the bounds are for."""


@dataclass(frozen=True)
class Reference:
    """The same machine at a fixed piece of work: whether a miss is the machine's."""

    name: str
    figure: float
    wanted: float
    """What it reaches on a machine that the bounds are for."""

    @property
    def verdict(self) -> str:
        missed = "misses it too" if self.figure < self.wanted else "reaches it"
        return f"{self.name} {number(self.figure)} of {number(self.wanted)}: {missed}"


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
    reference: Reference | None = None

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
        if self._is_judged_by_ratio:
            return (self.ratio or 0.0) >= (self.bound.times_peer or 0.0)
        return _reaches(self.ours, self.bound.floor, self.bound.at_most)

    @property
    def _reaches_aim(self) -> bool:
        assert self.bound is not None
        if self._is_judged_by_ratio:
            return self.bound.times_aim is not None and (self.ratio or 0.0) >= self.bound.times_aim
        return self.bound.aim is not None and _reaches(self.ours, self.bound.aim, self.bound.at_most)

    @property
    def _is_judged_by_ratio(self) -> bool:
        has_times = self.bound is not None and self.bound.times_peer is not None
        return has_times and self.peer is not None and not self.peer.is_recorded

    @property
    def verdict(self) -> str:
        if not self.is_exact:
            return "NO: WRONG SUM"
        if self.bound is None:
            return ""
        if not self.is_met:
            return "NO" if self.reference is None else f"NO ({self.reference.verdict})"
        return "yes, aim" if self._reaches_aim else "yes"


def _reaches(figure: float, bound: float, at_most: bool) -> bool:
    return figure <= bound if at_most else figure >= bound


def median_row(
    work: str,
    runs: Sequence[Rated],
    bound: Bound | None = None,
    peer: Peer | None = None,
    unit: str = "/s",
    reference: Reference | None = None,
) -> Row:
    """The median of several runs; exact only if every one was."""
    return Row(
        work,
        statistics.median(run.per_s for run in runs),
        unit,
        bound,
        peer,
        all(run.is_exact for run in runs),
        reference,
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
            aim = "" if row.bound.times_aim is None else f" ({row.bound.times_aim:g}x)"
            bound += f", {row.bound.times_peer:g}x{aim}"
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
    """One digit more than is significant, so that no miss looks like a hit."""
    if value >= 1000:
        return f"{value:,.0f}"
    if value >= 100:
        return f"{value:.1f}"
    return f"{value:.2f}" if value >= 10 else f"{value:.3f}"
