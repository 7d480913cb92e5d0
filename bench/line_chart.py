"""A line chart as SVG, for the documentation: few lines, both axes logarithmic, labels at the lines' ends."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

_WIDTH, _HEIGHT = 760, 400
_LEFT, _RIGHT, _TOP, _BOTTOM = 70, 210, 40, 50
_COLOURS = ("#1a5fb4", "#c64600", "#26734d", "#813d9c")


@dataclass(frozen=True)
class Line:
    """Points (x, y), all above 0; a dashed line for what is assumed worse."""

    name: str
    points: Sequence[tuple[float, float]]
    colour: int = 0
    dashed: bool = False


def line_chart(title: str, x_name: str, y_name: str, lines: Sequence[Line], x_ticks: Sequence[float]) -> str:
    """The chart, whole; y runs over the powers of ten that the lines need."""
    values = [y for line in lines for _, y in line.points]
    low, high = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))
    first, last = math.log10(x_ticks[0]), math.log10(x_ticks[-1])

    def x_of(x: float) -> float:
        return _LEFT + (math.log10(x) - first) / (last - first) * (_WIDTH - _LEFT - _RIGHT)

    def y_of(y: float) -> float:
        return _HEIGHT - _BOTTOM - (math.log10(y) - low) / (high - low) * (_HEIGHT - _TOP - _BOTTOM)

    shapes = [f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="#fff"/>', _text(_LEFT, 22, title, size=15)]
    for power in range(low, high + 1):
        y = y_of(10**power)
        shapes.append(f'<path d="M{_LEFT} {y:.1f}H{_WIDTH - _RIGHT}" stroke="#ddd"/>')
        shapes.append(_text(_LEFT - 8, y + 4, f"{10**power:,}", anchor="end"))
    low_y = _HEIGHT - _BOTTOM + 18
    shapes += [_text(x_of(tick), low_y, f"{tick:g}", anchor="middle") for tick in x_ticks]
    shapes.append(_text((_LEFT + _WIDTH - _RIGHT) / 2, _HEIGHT - 10, x_name, anchor="middle"))
    shapes.append(_text(_LEFT - 60, _TOP - 6, y_name))
    label_y = math.inf
    for line in sorted(lines, key=lambda each: each.points[-1][1]):
        colour = _COLOURS[line.colour % len(_COLOURS)]
        path = "L".join(f"{x_of(x):.1f} {y_of(y):.1f}" for x, y in line.points)
        dash = ' stroke-dasharray="6 4"' if line.dashed else ""
        shapes.append(f'<path d="M{path}" fill="none" stroke="{colour}" stroke-width="2"{dash}/>')
        # From the lowest up, each label at least a line above the one before.
        label_y = min(y_of(line.points[-1][1]) + 4, label_y - 15)
        shapes.append(_text(_WIDTH - _RIGHT + 8, label_y, line.name, colour=colour))
    size = f'viewBox="0 0 {_WIDTH} {_HEIGHT}" width="{_WIDTH}" height="{_HEIGHT}"'
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img" font-family="sans-serif">'
        f"<title>{escape(title)}</title>{''.join(shapes)}</svg>\n"
    )


def _text(
    x: float, y: float, text: str, *, anchor: str = "start", colour: str = "#333", size: int = 12
) -> str:
    place = f'x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"'
    return f'<text {place} fill="{colour}" font-size="{size}">{escape(text)}</text>'
