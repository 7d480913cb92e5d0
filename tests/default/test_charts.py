"""Charts and figures."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree
from datetime import UTC, datetime
from itertools import pairwise

import pytest

from default.counter_charts import round_scale
from pushtasks.dashboard.charts import Bar, Mark, bars
from pushtasks.web import figures

NARROW = "\N{NARROW NO-BREAK SPACE}"


def test_a_chart_is_well_formed_named_and_described() -> None:
    columns = [Bar("a", [("first", 3), ("failed", 1)], "a: 4"), Bar("b", [("first", 0)])]
    chart = bars("c", "Title <&>", "Description", columns, [Mark("p50", 1.5)])
    root = ElementTree.fromstring(str(chart.svg))
    assert root.attrib["aria-labelledby"] == "c-title c-desc"
    assert [root[0].text, root[1].text] == ["Title <&>", "Description"]
    shapes = [element.attrib for element in root.iter() if element.tag == "rect"]
    shapes = [shape for shape in shapes if shape["class"] != "reach"]
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


@pytest.mark.parametrize(
    ("low", "high", "ground", "top"),
    [(0, 0, 0, 4), (65, 3799, 0, 4000), (-5, 3, -6, 6), (1_000_000, 1_000_003, 1_000_000, 1_000_004)],
)
def test_a_values_scale_is_round_and_holds_them_all(low: int, high: int, ground: int, top: int) -> None:
    scale = round_scale(low, high)
    assert (scale[-1], scale[0]) == (ground, top)
    assert len({above - below for above, below in pairwise(scale)}) == 1


def test_each_line_of_the_scale_has_its_number_and_an_empty_chart_is_known() -> None:
    chart = bars("c", "t", "d", [Bar("x", [("first", 999)])])
    assert (chart.scale, chart.is_empty) == ([1200, 900, 600, 300, 0], False)
    assert bars("c", "t", "d", [Bar("x", [("first", 0)])]).is_empty


def test_a_bar_of_a_minute_tells_which_for_the_viewers_zone() -> None:
    at = datetime(2026, 5, 1, 22, 26, tzinfo=UTC)
    svg = str(bars("c", "t", "d", [Bar("x", [("first", 1)], "22:26 UTC: 1", at)]).svg)
    assert '<title data-at="2026-05-01T22:26Z">22:26 UTC: 1</title>' in svg


def _heights(svg: str) -> list[str]:
    return re.findall(r'class="(?:first|rejected)"[^>]* height="([0-9.]+)%"', svg)


def test_bars_are_true_to_scale_however_small() -> None:
    columns = [Bar("a", [("first", 1000)]), Bar("b", [("rejected", 10)]), Bar("c", [("first", 500)])]
    assert _heights(str(bars("c", "t", "d", columns).svg)) == ["83.33", "0.83", "41.67"]


def test_a_spike_is_cut_with_its_value_on_it_so_that_the_others_are_seen() -> None:
    columns = [Bar(str(index), [("first", 100)]) for index in range(59)] + [Bar("x", [("failed", 7500)])]
    chart = bars("c", "t", "d", columns, may_cut=True)
    assert (chart.top, chart.cut) == (120, 1)
    assert ">7,500</text>" in chart.svg
    assert 'class="break"' in chart.svg
    whole = bars("c", "t", "d", columns)
    assert (whole.top, whole.cut) == (8000, 0)


def test_high_bars_all_over_are_not_cut() -> None:
    columns = [Bar(str(index), [("first", 7500 if index % 5 else 100)]) for index in range(60)]
    assert bars("c", "t", "d", columns, may_cut=True).cut == 0


def test_the_period_under_way_is_marked() -> None:
    columns = [Bar("a", [("first", 3)]), Bar("b", [("first", 1)], is_running=True)]
    assert str(bars("c", "t", "d", columns).svg).count('<g class="running">') == 1


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
        (2000, "2,000/s"),
    ],
)
def test_a_slow_queues_rate_is_not_shown_as_none(per_s: float, shown: str) -> None:
    assert figures.rate(per_s) == shown


def test_whole_numbers_are_grouped() -> None:
    assert figures.whole(-1234567) == "\N{MINUS SIGN}1,234,567"
    assert figures.whole(None) == "–"
    assert figures.ratio(1.005) == "1.00"
    assert figures.ratio(None) == "–"
