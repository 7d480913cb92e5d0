"""Bar charts as inline SVG: no script, no inline style, colours by class.

A chart stretches to the room it gets, so it holds shapes only; its labels are text beside it. It is named
and described for those who don't see it, and its page gives the same numbers as a table.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from markupsafe import Markup, escape

_WIDTH, _HEIGHT = 600, 160
_GRID_LINES = 4


@dataclass(frozen=True, slots=True)
class Bar:
    """One bar: parts from the ground up, each a class and a number; `hint` shows under the pointer.

    `at` is the minute that the hint begins with, for the script that puts it in the viewer's zone.
    """

    label: str
    parts: Sequence[tuple[str, int]]
    hint: str = ""
    at: datetime | None = None

    @property
    def total(self) -> int:
        return sum(number for _, number in self.parts)


@dataclass(frozen=True, slots=True)
class Mark:
    """A line across the chart at `place`, counted in bars from the left."""

    kind: str
    place: float


@dataclass(frozen=True, slots=True)
class Chart:
    """A drawn chart, with the number that its top stands for."""

    svg: Markup
    top: int
    is_empty: bool = False

    @property
    def scale(self) -> list[int]:
        """What its lines stand for, from the top down to 0."""
        return [self.top * index // _GRID_LINES for index in range(_GRID_LINES, -1, -1)]


def bars(
    name: str, title: str, description: str, columns: Sequence[Bar], marks: Sequence[Mark] = ()
) -> Chart:
    """Draw the columns side by side. `name` is used in ids, so it is unique on its page."""
    top = _round_up(max((column.total for column in columns), default=0))
    step = _WIDTH / max(1, len(columns))
    gap = min(step * 0.22, 14)
    shapes = [_grid_line(index) for index in range(_GRID_LINES + 1)]
    for index, column in enumerate(columns):
        shapes.append(_column(column, index * step + gap / 2, step - gap, top))
    for mark in marks:
        x = mark.place * step
        shapes.append(
            f'<line class="mark {escape(mark.kind)}" x1="{_n(x)}" x2="{_n(x)}" y1="0" y2="{_HEIGHT}"/>'
        )
    svg = Markup(
        '<svg class="chart" viewBox="0 0 {w} {h}" preserveAspectRatio="none" role="img" '
        'aria-labelledby="{name}-title {name}-desc"><title id="{name}-title">{title}</title>'
        '<desc id="{name}-desc">{description}</desc>{shapes}</svg>'
    ).format(
        w=_WIDTH,
        h=_HEIGHT,
        name=name,
        title=title,
        description=description,
        shapes=Markup("".join(shapes)),  # each part was escaped where it was made
    )
    return Chart(svg, top, is_empty=not any(column.total for column in columns))


def _column(column: Bar, x: float, width: float, top: int) -> str:
    shapes = []
    ground = float(_HEIGHT)
    for kind, number in column.parts:
        if number <= 0:
            continue
        # However small, what happened is to be seen.
        height = max(number / top * _HEIGHT, 1.5)
        ground -= height
        shapes.append(
            f'<rect class="{escape(kind)}" x="{_n(x)}" y="{_n(max(ground, 0))}" '
            f'width="{_n(width)}" height="{_n(height)}"/>'
        )
    if not shapes:
        return ""
    at = f' data-at="{column.at.astimezone(UTC):%Y-%m-%dT%H:%MZ}"' if column.at else ""
    hint = f"<title{at}>{escape(column.hint)}</title>" if column.hint else ""
    return f"<g>{hint}{''.join(shapes)}</g>"


def _grid_line(index: int) -> str:
    y = _n(_HEIGHT * index / _GRID_LINES)
    kind = "ground" if index == _GRID_LINES else "grid"
    return f'<line class="{kind}" x1="0" x2="{_WIDTH}" y1="{y}" y2="{y}"/>'


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
