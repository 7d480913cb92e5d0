"""The bill: list prices times counted operations."""

from __future__ import annotations

import pytest

from bench.cost import Use, bill, table

ONE_BY_ONE = Use("one by one", reads=2, writes=2, task_operations=2)
GROUPED = Use("grouped", reads=1.1, writes=1.1, task_operations=2)


def test_a_million_one_by_one_is_billed_at_list_prices() -> None:
    million = bill(ONE_BY_ONE)

    assert million.reads == pytest.approx(0.60)
    assert million.writes == pytest.approx(1.80)
    assert million.deletes == pytest.approx(0.10)
    assert million.tasks == pytest.approx(0.80)
    assert million.total == pytest.approx(3.30)


def test_groups_save_reads_and_writes_and_nothing_else() -> None:
    alone, grouped = bill(ONE_BY_ONE), bill(GROUPED)

    assert grouped.reads == pytest.approx(alone.reads * 0.55)
    assert grouped.writes == pytest.approx(alone.writes * 0.55)
    assert (grouped.deletes, grouped.tasks) == (alone.deletes, alone.tasks)


def test_a_bill_grows_with_the_increments() -> None:
    assert bill(GROUPED, 3_000_000).total == pytest.approx(3 * bill(GROUPED).total)


def test_the_table_has_a_line_for_each_way() -> None:
    lines = table([bill(ONE_BY_ONE), bill(GROUPED)]).splitlines()

    assert len(lines) == 4
    assert lines[2].endswith("| **$3.30** |")
