"""Charts and figures."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree
from datetime import UTC, datetime
from pathlib import Path

import pytest

from pushtasks.dashboard.charts import Bar, Mark, bars
from pushtasks.web import figures

NARROW = "\N{NARROW NO-BREAK SPACE}"
STYLE = Path(__file__).parents[2] / "pushtasks" / "web" / "static" / "style.css"


def test_a_chart_is_well_formed_named_and_described() -> None:
    columns = [Bar("a", [("first", 3), ("failed", 1)], "a: 4"), Bar("b", [("first", 0)])]
    chart = bars("c", "Title <&>", "Description", columns, [Mark("p50", 1.5)])
    root = ElementTree.fromstring(str(chart.svg))
    assert root.attrib["aria-labelledby"] == "c-title c-desc"
    assert [root[0].text, root[1].text] == ["Title <&>", "Description"]
    shapes = [element.attrib for element in root.iter() if element.tag == "rect"]
    assert [shape["class"] for shape in shapes] == ["first", "failed"]
    assert not any("style" in element.attrib for element in root.iter())


def test_a_hostile_label_stays_text() -> None:
    chart = bars("c", "t", "d", [Bar("x", [("first", 1)], "</title><script>")])
    assert "<script>" not in chart.svg


@pytest.mark.parametrize(
    ("highest", "top"), [(0, 4), (4, 4), (5, 8), (9, 12), (13, 16), (999, 1200), (1201, 1600)]
)
def test_a_scale_ends_on_a_round_number(highest: int, top: int) -> None:
    assert bars("c", "t", "d", [Bar("x", [("first", highest)])]).top == top


def test_each_line_of_the_scale_has_its_number_and_an_empty_chart_is_known() -> None:
    chart = bars("c", "t", "d", [Bar("x", [("first", 999)])])
    assert (chart.scale, chart.is_empty) == ([1200, 900, 600, 300, 0], False)
    assert bars("c", "t", "d", [Bar("x", [("first", 0)])]).is_empty


def test_a_bar_of_a_minute_tells_which_for_the_viewers_zone() -> None:
    at = datetime(2026, 5, 1, 22, 26, tzinfo=UTC)
    svg = str(bars("c", "t", "d", [Bar("x", [("first", 1)], "22:26 UTC: 1", at)]).svg)
    assert '<title data-at="2026-05-01T22:26Z">22:26 UTC: 1</title>' in svg


def _luminance(colour: str) -> float:
    """As WCAG 2 defines it."""
    parts = [int(colour[start : start + 2], 16) / 255 for start in (1, 3, 5)]
    red, green, blue = (
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_each_colour_of_the_charts_stands_out_from_the_surface(scheme: str) -> None:
    light, dark = re.findall(r":root \{(.*?)\}", STYLE.read_text(), re.S)
    colours = dict(re.findall(r"--([a-z0-9]+): (#[0-9a-f]{6})", light if scheme == "light" else dark))
    surface = _luminance(colours["surface"])
    for name in ("first", "later", "failed", "duplicate", "rejected", "p50", "p95", "p99"):
        lighter, darker = sorted((surface, _luminance(colours[name])), reverse=True)
        assert (lighter + 0.05) / (darker + 0.05) >= 3, name


def test_the_smallest_number_is_still_to_be_seen() -> None:
    columns = [Bar("a", [("first", 100000)]), Bar("b", [("rejected", 1)])]
    svg = str(bars("c", "t", "d", columns).svg)
    assert 'class="rejected" x="307" y="158.5"' in svg


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (None, "–"),
        (-1, f"0{NARROW}ms"),
        (0.0123, f"12{NARROW}ms"),
        (0.9999, f"1.0{NARROW}s"),
        (9.94, f"9.9{NARROW}s"),
        (59.4, f"59{NARROW}s"),
        (60, f"1{NARROW}min"),
        (240, f"4{NARROW}min"),
        (65, f"1{NARROW}min 5{NARROW}s"),
        (3599, f"59{NARROW}min"),
        (3600, f"1{NARROW}h"),
        (3700, f"1{NARROW}h 1{NARROW}min"),
        (86400 * 3, f"3{NARROW}days"),
    ],
)
def test_a_span_is_told_in_the_units_that_matter(seconds: float | None, shown: str) -> None:
    assert figures.span(seconds) == shown


@pytest.mark.parametrize(
    ("share", "shown"),
    [
        (None, "–"),
        (0, f"0{NARROW}%"),
        (1, f"100{NARROW}%"),
        (0.99999, f"99.99{NARROW}%"),
        (0.5, f"50.00{NARROW}%"),
    ],
)
def test_a_share_is_never_rounded_up_to_all(share: float | None, shown: str) -> None:
    assert figures.percent(share) == shown


@pytest.mark.parametrize(
    ("per_s", "shown"),
    [
        (500, "500/s"),
        (0, "0/s"),
        (1.5, "1.5/s"),
        (0.5, "30/min"),
        (1 / 6, "10/min"),
        (5 / 3600, "5/h"),
        (2000, f"2{NARROW}000/s"),
    ],
)
def test_a_slow_queues_rate_is_not_shown_as_none(per_s: float, shown: str) -> None:
    assert figures.rate(per_s) == shown


def test_whole_numbers_are_grouped() -> None:
    assert figures.whole(-1234567) == f"\N{MINUS SIGN}1{NARROW}234{NARROW}567"
    assert figures.whole(None) == "–"
    assert figures.ratio(1.005) == "1.00"
    assert figures.ratio(None) == "–"
