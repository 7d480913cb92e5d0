"""Charts and figures."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree

import pytest

from default import figures
from default.charts import Bar, Mark, bars

NARROW = "\N{NARROW NO-BREAK SPACE}"


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


def test_whole_numbers_are_grouped() -> None:
    assert figures.whole(-1234567) == f"\N{MINUS SIGN}1{NARROW}234{NARROW}567"
    assert figures.whole(None) == "–"
    assert figures.ratio(1.005) == "1.00"
    assert figures.ratio(None) == "–"
