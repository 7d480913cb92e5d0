"""Rings: nothing is lost, whatever the clocks do, and each period has what was counted in it."""

from __future__ import annotations

import json
from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pushtasks.errors import Rejected
from pushtasks.ring import (
    DAYS,
    HOURS,
    MINUTES,
    SCALES,
    SPANS,
    Ring,
    Running,
    Scale,
    add_rows,
    numbers_as_json,
    parse_spans,
    series,
    whole,
)

START = datetime(2026, 5, 1, 12, 0, 30, tzinfo=UTC)

a_step = st.one_of(
    st.integers(-90, 90),  # seconds, as between two processes
    st.integers(-(10**5), 10**6),
    st.integers(-(10**8), 10**9),  # a clock that is wrong by years
)
writes = st.lists(st.tuples(a_step, st.integers(-(2**70), 2**70)), max_size=60)


class Kept:
    """Rings as an entity keeps them: packed after each write."""

    def __init__(self) -> None:
        self.running = b"[]"
        self.rings = dict.fromkeys(SCALES, b"")

    def add(self, moment: datetime, number: int) -> None:
        running = Running(json.loads(self.running))
        for scale, period, row in running.add(moment, [number, 1]):
            ring = Ring.unpack(scale, self.rings[scale])
            ring.add(period, row)
            self.rings[scale] = ring.pack()
        self.running = numbers_as_json(running.numbers)

    def ring(self, scale: Scale) -> Ring:
        return whole(Ring.unpack(scale, self.rings[scale]), Running(json.loads(self.running)))


@given(writes)
def test_before_and_the_ring_are_the_value_however_the_clock_jumps(steps: list[tuple[int, int]]) -> None:
    kept, moment, value = Kept(), START, 0
    for step, number in steps:
        moment += timedelta(seconds=step)
        kept.add(moment, number)
        value += number

        for scale in SCALES:
            ring = kept.ring(scale)
            total = ring.before
            for row in ring.rows.values():
                total = add_rows(total, row)
            assert total[0] == value
            assert len(ring.rows) <= scale.length


@given(st.lists(st.tuples(st.integers(0, 50_000), st.integers(-1000, 1000)), max_size=60))
def test_each_period_has_what_was_counted_in_it(steps: list[tuple[int, int]]) -> None:
    kept, moment = Kept(), START
    counted: dict[Scale, Counter[int]] = {scale: Counter() for scale in SCALES}
    for step, number in steps:
        moment += timedelta(seconds=step)
        kept.add(moment, number)
        for scale in SCALES:
            counted[scale][scale.period_of(moment)] += number

    for span in SPANS.values():
        found = series([kept.ring(span.scale)], span, moment)
        assert len(found) == span.periods
        assert found[-1][0] == span.scale.period_of(moment)
        for period, row in found:
            assert (row[0] if row else 0) == counted[span.scale][period]


def test_a_late_row_goes_to_its_own_period_and_leaves_the_one_under_way() -> None:
    kept = Kept()
    kept.add(START, 1)
    kept.add(START - timedelta(minutes=2), 10)
    kept.add(START, 100)

    now = MINUTES.period_of(START)
    assert kept.ring(MINUTES).rows == {now: [101, 2], now - 2: [10, 1]}


def test_what_leaves_a_ring_goes_to_before() -> None:
    ring = Ring(HOURS)
    for period in range(200):
        ring.add(period, [1, 2])

    assert (min(ring.rows), max(ring.rows), ring.before) == (32, 199, [32, 64])


def test_series_of_several_rings_are_summed_and_empty_periods_are_shown() -> None:
    today = DAYS.period_of(START)
    rings = [Ring(DAYS, {today: [1]}), Ring(DAYS, {today: [2], today - 399: [5], today - 400: [9]})]

    found = series(rings, SPANS["year"], START)

    assert found[0] == (today - 399, [5])
    assert found[1] == (today - 398, [])
    assert found[-1] == (today, [3])


def test_spans_are_named_and_others_are_refused() -> None:
    assert [span.name for span in parse_spans("week, hour,week")] == ["week", "hour"]
    for text in ("", "decade", "hour,"):
        with pytest.raises(Rejected, match="hour, day, week and year"):
            parse_spans(text)
