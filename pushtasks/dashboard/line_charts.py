"""Line charts and sparklines as inline SVG, for figures that are not counts: shares, ratios, latencies."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

from markupsafe import Markup, escape

from pushtasks.dashboard.charts import Chart, Mark, drawn, grid, hint_of, mark_shape, reach

Line = tuple[str, Sequence[float | None]]
"""A class, and a height for each period from 0 (ground) to 1 (top); None where there is no value."""


def lines(
    name: str,
    title: str,
    description: str,
    series: Sequence[Line],
    hints: Sequence[str],
    marks: Sequence[Mark] = (),
) -> Chart:
    """Lines over periods; `hints` show under the pointer, one for each period."""
    count = max(1, len(hints))
    step = 100 / count
    paths = "".join(f'<path class="line {escape(kind)}" d="{_path(heights)}"/>' for kind, heights in series)
    shapes = [
        *grid(),
        f'<svg viewBox="0 0 {count} 100" preserveAspectRatio="none" width="100%" height="100%" '
        f'overflow="visible">{paths}</svg>',
        *(
            f"<g>{hint_of(text, None)}{reach(index * step, step)}</g>"
            for index, text in enumerate(hints)
            if text
        ),
        *(mark_shape(mark, min(mark.place * step, 100)) for mark in marks),
    ]
    is_empty = not any(height is not None for _, heights in series for height in heights)
    return Chart(drawn(name, title, description, shapes), 100, is_empty)


def sparkline(values: Sequence[int], description: str) -> Markup:
    """A small chart for a row of a list: a bar for each value from 0 up, the highest as high as the chart."""
    top = max(1, *values)
    bars = "".join(
        f"M{index} 20v-{value / top * 20:.3g}h.8V20z" for index, value in enumerate(values) if value > 0
    )
    return Markup(
        '<svg class="sparkline" role="img" aria-label="{description}" viewBox="0 0 {width} 20" '
        'preserveAspectRatio="none"><path d="{bars}"/></svg>'
    ).format(description=description, width=len(values), bars=bars)


def _path(heights: Sequence[float | None]) -> str:
    """Each unbroken run of heights is a line; one alone is a dash as wide as its period."""
    parts = []
    for is_known, run in groupby(enumerate(heights), key=lambda pair: pair[1] is not None):
        if not is_known:
            continue
        points = [(index + 0.5, 100 - 100 * (height or 0.0)) for index, height in run]
        if len(points) == 1:
            x, y = points[0]
            points = [(x - 0.5, y), (x + 0.5, y)]
        parts.append("M" + "L".join(f"{x:.4g} {y:.4g}" for x, y in points))
    return "".join(parts)
