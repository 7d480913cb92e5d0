"""The table: ratios that count in the right direction, and verdicts that a wrong sum overrules."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from bench.table import Bound, Peer, Reference, Row, cells, median_row, number, rendered

SPEED = Bound(500, 700, times_peer=12, times_aim=20)


@dataclass(frozen=True)
class Run:
    per_s: float
    is_exact: bool = True


@pytest.mark.parametrize(
    ("ours", "verdict"), [(499.0, "NO"), (500.0, "yes"), (699.0, "yes"), (700.0, "yes, aim")]
)
def test_a_speed_is_met_from_its_floor_on_and_its_aim_is_told(ours: float, verdict: str) -> None:
    assert Row("work", ours, "/s", Bound(500, 700)).verdict == verdict


@pytest.mark.parametrize(("ours", "verdict"), [(1.11, "NO"), (1.10, "yes"), (1.0, "yes, aim")])
def test_a_cost_is_met_up_to_its_ceiling(ours: float, verdict: str) -> None:
    assert Row("reads", ours, "", Bound(1.10, 1.0, at_most=True)).verdict == verdict


def test_a_fast_wrong_sum_is_a_failure() -> None:
    row = Row("work", 10_000, "/s", Bound(500), is_exact=False)

    assert row.verdict == "NO: WRONG SUM"
    assert not row.is_met


def test_one_wrong_sum_among_the_runs_spoils_their_median() -> None:
    row = median_row("work", [Run(800), Run(600, is_exact=False), Run(700)], Bound(500))

    assert row.ours == 700
    assert not row.is_met


def test_a_ratio_above_one_is_better_whichever_way_the_figure_counts() -> None:
    peer = Peer("other", 50)

    assert Row("speed", 600, "/s", SPEED, peer).ratio == 12
    assert Row("seconds", 2.5, " s", Bound(3, at_most=True), peer).ratio == 20
    assert Row("alone", 600, "/s", SPEED).ratio is None


def test_a_peer_of_the_same_run_must_be_beaten_by_its_factor() -> None:
    assert not Row("speed", 600, "/s", SPEED, Peer("dev server", 51)).is_met
    assert Row("speed", 600, "/s", SPEED, Peer("dev server", 50)).is_met


def test_beside_a_peer_of_the_same_run_only_the_factor_counts_for_machines_are_not_alike() -> None:
    assert Row("speed", 100, "/s", SPEED, Peer("dev server", 8)).verdict == "yes"
    assert Row("speed", 100, "/s", SPEED, Peer("dev server", 5)).verdict == "yes, aim"


def test_a_miss_says_whether_the_machine_misses_as_well() -> None:
    slow, quick = Reference("idle", 300, 400), Reference("idle", 500, 400)

    assert Row("speed", 1, "/s", SPEED, reference=slow).verdict == "NO (idle 300.0 of 400.0: misses it too)"
    assert Row("speed", 1, "/s", SPEED, reference=quick).verdict == "NO (idle 500.0 of 400.0: reaches it)"


def test_a_miss_is_never_hidden_by_rounding() -> None:
    row = Row("reads", 1.104, "", Bound(1.10, at_most=True))

    assert cells(row)[1] != cells(row)[4].removeprefix("<= ")


def test_a_recorded_figure_is_marked_and_judges_nothing() -> None:
    row = Row("speed", 600, "/s", SPEED, Peer("dev server", 100, is_recorded=True))

    assert row.is_met
    assert "dev server 100.0 (recorded)" in cells(row)


def test_a_row_without_a_bound_is_for_comparison_only() -> None:
    row = Row("speed", 3, "/s")

    assert row.is_met
    assert row.verdict == ""


def test_numbers_show_as_many_digits_as_mean_something() -> None:
    assert [number(value) for value in (1659.4, 100, 42.06, 0.148)] == ["1,659", "100.0", "42.06", "0.148"]


def test_the_table_is_aligned_markdown_with_a_line_for_each_row() -> None:
    lines = rendered([Row("a", 1, "/s", SPEED), Row("much longer", 1, "/s")]).splitlines()

    assert len(lines) == 4
    assert len({len(line) for line in lines}) == 1
    assert ">= 500.0 (700.0), 12x (20x)" in lines[2]
