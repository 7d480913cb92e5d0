"""Tallies: counted, summed, packed and read back."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pushtasks.tally import (
    LATENCY_BOUNDS_MS,
    Tally,
    attempts_bucket,
    latency_bucket,
    merge_rows,
    pack_numbers,
    sum_of,
    unpack_numbers,
)

applied_tasks = st.lists(st.tuples(st.integers(1, 40), st.none() | st.floats(0, 1e9)), max_size=30)


def tally_of(tasks: list[tuple[int, float | None]]) -> Tally:
    tally = Tally()
    for attempts, latency_ms in tasks:
        tally.count_applied(attempts, latency_ms)
    return tally


def test_first_attempts_and_amplification() -> None:
    tally = tally_of([(1, 5.0), (1, 5.0), (3, 50.0), (1, None)])
    tally.duplicates = 2

    assert tally.first_attempt_success == 0.75
    assert tally.failed_attempts == 2
    assert tally.retry_amplification == (6 + 2) / 4
    assert tally.most_attempts == 3
    assert tally.latency_samples == 3


def test_nothing_applied_has_no_share() -> None:
    assert Tally().first_attempt_success is None
    assert Tally().retry_amplification is None
    assert Tally().latency_percentile_ms(50) is None


@pytest.mark.parametrize(
    ("attempts", "bucket"), [(1, 0), (2, 1), (3, 2), (4, 3), (5, 4), (8, 4), (9, 5), (99, 5)]
)
def test_attempts_fall_into_their_bucket(attempts: int, bucket: int) -> None:
    assert attempts_bucket(attempts) == bucket


@given(st.floats(0, 1e10))
def test_a_latency_lies_between_its_buckets_bounds(latency_ms: float) -> None:
    bucket = latency_bucket(latency_ms)

    assert bucket == len(LATENCY_BOUNDS_MS) or latency_ms <= LATENCY_BOUNDS_MS[bucket] * 1.000001
    assert bucket == 0 or latency_ms > LATENCY_BOUNDS_MS[bucket - 1] * 0.999999


@given(st.lists(st.floats(1, 90_000_000), min_size=1, max_size=200), st.sampled_from([50, 95, 99]))
def test_a_percentile_is_within_a_bucket_of_the_true_one(latencies: list[float], percent: int) -> None:
    tally = tally_of([(1, latency) for latency in latencies])
    ordered = sorted(latencies)
    true = ordered[max(0, -(-len(ordered) * percent // 100) - 1)]

    estimate = tally.latency_percentile_ms(percent)

    assert estimate is not None
    assert latency_bucket(true) - 1 <= latency_bucket(estimate) <= latency_bucket(true)


@given(applied_tasks, applied_tasks)
def test_the_sum_of_tallies_is_the_tally_of_both(
    some: list[tuple[int, float | None]], others: list[tuple[int, float | None]]
) -> None:
    assert sum_of([tally_of(some), tally_of(others)]) == tally_of(some + others)


@given(applied_tasks, applied_tasks)
def test_rows_are_merged_as_tallies_are_summed(
    some: list[tuple[int, float | None]], others: list[tuple[int, float | None]]
) -> None:
    row = merge_rows(tally_of(some).row(), tally_of(others).row())

    assert Tally.of_row(row) == tally_of(some + others)
    assert merge_rows([], row) == merge_rows(row, []) == row


@given(st.lists(st.integers(0, 2**64 - 1)))
def test_what_is_packed_is_read_back(numbers: list[int]) -> None:
    assert unpack_numbers(pack_numbers(numbers)) == numbers


def test_nothing_is_read_back_from_nothing() -> None:
    assert unpack_numbers(None) == []
    assert Tally.of_row([]) == Tally()
