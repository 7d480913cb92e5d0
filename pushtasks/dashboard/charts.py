"""Bar charts as inline SVG: no script, no inline style, colours by class.

All lengths are percentages, so that the chart stretches and its text does not. It has a name
and a description for screen readers, and its page gives the same numbers as a table.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from markupsafe import Markup, escape

from pushtasks.web.figures import whole

_GRID_LINES = 4
_MOST_CUT = 3
"""The most bars that may be cut to keep the others visible; more of them are no outliers."""
_CUT_ABOVE = 3
"""A bar is cut if it is this many times as high as all that are not."""


@dataclass(frozen=True, slots=True)
class Bar:
    """One bar: parts from the ground up, each a class and a number; `hint` shows under the pointer.

    `at` is the minute that the hint begins with, for the script that puts it in the viewer's zone. A bar
    that `is_running` stands for a time that has not ended, and will still grow.
    """

    label: str
    parts: Sequence[tuple[str, int]]
    hint: str = ""
    at: datetime | None = None
    is_running: bool = False

    @property
    def total(self) -> int:
        return sum(number for _, number in self.parts)


@dataclass(frozen=True, slots=True)
class Mark:
    """A line across the chart at `place`, counted in bars from the left; `hint` shows under the pointer."""

    kind: str
    place: float
    hint: str = ""
    at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Chart:
    """A drawn chart, with the number at its top."""

    svg: Markup
    top: int
    is_empty: bool = False
    cut: int = 0
    """How many bars are higher than the chart; each has its number written on it."""

    @property
    def scale(self) -> list[int]:
        """The numbers at its lines, from the top down to 0."""
        return [self.top * index // _GRID_LINES for index in range(_GRID_LINES, -1, -1)]


def bars(
    name: str,
    title: str,
    description: str,
    columns: Sequence[Bar],
    marks: Sequence[Mark] = (),
    *,
    may_cut: bool = False,
) -> Chart:
    """Draw the columns side by side, true to scale. `name` is used in ids, so it is unique on its page.

    With `may_cut`, for periods of time, a few bars that are far higher than all others are cut.
    """
    totals = [column.total for column in columns]
    top = _round_up(_highest_uncut(totals) if may_cut else max(totals, default=0))
    step = 100 / max(1, len(columns))
    shapes = [
        *grid(),
        *(_column(column, index * step, step, top) for index, column in enumerate(columns)),
        *(mark_shape(mark, min(mark.place * step, 100)) for mark in marks),
    ]
    cut = sum(column.total > top for column in columns)
    svg = drawn(name, title, description, shapes)
    return Chart(svg, top, is_empty=not any(column.total for column in columns), cut=cut)


def drawn(name: str, title: str, description: str, shapes: Iterable[str]) -> Markup:
    """The whole drawing. Each shape is markup, escaped where it was made."""
    return Markup(
        '<svg class="chart" role="img" aria-labelledby="{name}-title {name}-desc">'
        '<title id="{name}-title">{title}</title><desc id="{name}-desc">{description}</desc>{shapes}</svg>'
    ).format(name=name, title=title, description=description, shapes=Markup("".join(shapes)))


def _highest_uncut(totals: Sequence[int]) -> int:
    """The highest bar that the chart shows whole: a few far higher ones would flatten all others."""
    highest = sorted(totals, reverse=True)
    for cut in range(1, min(_MOST_CUT, len(highest) // 5) + 1):
        if highest[cut] and highest[cut - 1] > _CUT_ABOVE * highest[cut]:
            return highest[cut]
    return highest[0] if highest else 0


def _column(column: Bar, x: float, step: float, top: int) -> str:
    left, width = x + step * 0.11, step * 0.78
    ground, shapes = 100.0, []
    for kind, number in column.parts:
        height = min(number / top * 100, ground)
        if height < 0.005:  # nothing, or less than can be drawn
            continue
        ground -= height
        shapes.append(rect(str(escape(kind)), left, ground, width, height))
    if not shapes:
        return ""
    if column.total > top:
        shapes.append(rect("break", left, 5, width, 2))
        anchor = "start" if x < 5 else "end" if x > 95 - step else "middle"
        middle = {"start": left, "end": left + width, "middle": left + width / 2}[anchor]
        place = f'x="{_n(middle)}%" y="-0.3em" text-anchor="{anchor}"'
        shapes.append(f'<text class="over" {place}>{whole(column.total)}</text>')
    hint = hint_of(column.hint, column.at)
    # The whole height answers the pointer, however low the bar is.
    shapes.append(reach(x, step))
    state = ' class="running"' if column.is_running else ""
    return f"<g{state}>{hint}{''.join(shapes)}</g>"


def mark_shape(mark: Mark, x: float) -> str:
    hint = hint_of(mark.hint, mark.at)
    line = f'<line class="mark {escape(mark.kind)}" x1="{_n(x)}%" x2="{_n(x)}%" y1="0" y2="100%"/>'
    return f"<g>{hint}{line}</g>" if hint else line


def hint_of(text: str, at: datetime | None) -> str:
    when = f' data-at="{at.astimezone(UTC):%Y-%m-%dT%H:%MZ}"' if at else ""
    return f"<title{when}>{escape(text)}</title>" if text else ""


def reach(x: float, width: float) -> str:
    """What answers the pointer over the whole height of the chart."""
    return f'<rect class="reach" x="{_n(x)}%" width="{_n(width)}%" height="100%"/>'


def rect(kind: str, x: float, y: float, width: float, height: float) -> str:
    return f'<rect class="{kind}" x="{_n(x)}%" y="{_n(y)}%" width="{_n(width)}%" height="{_n(height)}%"/>'


def grid() -> list[str]:
    """The lines of a scale of four steps, from the top to the ground."""
    kinds = ["grid"] * _GRID_LINES + ["ground"]
    places = [_n(100 * index / _GRID_LINES) for index in range(_GRID_LINES + 1)]
    return [
        f'<line class="{kind}" x1="0" x2="100%" y1="{y}%" y2="{y}%"/>'
        for kind, y in zip(kinds, places, strict=True)
    ]


def _round_up(number: int) -> int:
    """The next number that makes a good top of a scale of four steps: 4, 8, 12, 16, 20, 24, 32, 40, ..."""
    unit = 4
    while True:
        for factor in (1, 2, 3, 4, 5, 6, 8, 10):
            if number <= unit * factor:
                return unit * factor
        unit *= 10


def _n(number: float) -> str:
    return f"{number:.2f}".rstrip("0").rstrip(".")
