"""Counts of what happened to tasks: for a minute, an hour or all time; add_rows, packed and unpacked.

A tally is a row of whole numbers, as the rings of `pushtasks.ring` hold them. Numbers are packed into blobs,
because as repeated integers an hour of rows would take google-cloud-ndb 1.3 ms to encode, a blob 0.04 ms.
"""

from __future__ import annotations

import math
import sys
import zlib
from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from pushtasks.ring import Row, add_rows

ATTEMPT_BUCKETS = ("1", "2", "3", "4", "5-8", "9+")
"""Attempts that a task took; the last bucket is open."""

LATENCY_BOUNDS_MS = tuple(10 ** (step / 5) for step in range(41))
"""Upper bounds of the latency buckets: five a decade, 1 ms to 100,000 s; one more bucket is open."""

SUMS = ("applied", "applied_first_attempt", "attempts", "duplicates", "rejected", "gave_up", "failures")
"""The numbers of a tally that are added up."""


@dataclass(slots=True)
class Tally:
    """What happened to some tasks. `attempts` are those of applied tasks, their last one included.

    `failures` are attempts that failed, counted when they did, whatever happened to their tasks. They are
    kept in memory for a moment, so a process that is killed loses some: the number is approximate.
    """

    applied: int = 0
    applied_first_attempt: int = 0
    attempts: int = 0
    duplicates: int = 0
    rejected: int = 0
    gave_up: int = 0
    failures: int = 0
    most_attempts: int = 0
    by_attempts: list[int] = field(default_factory=lambda: [0] * len(ATTEMPT_BUCKETS))
    by_latency: list[int] = field(default_factory=lambda: [0] * (len(LATENCY_BOUNDS_MS) + 1))

    def count_applied(self, attempts: int, latency_ms: float | None) -> None:
        """Count a task that its `attempts`-th attempt applied, `latency_ms` after it was enqueued."""
        self.applied += 1
        self.applied_first_attempt += attempts == 1
        self.attempts += attempts
        self.most_attempts = max(self.most_attempts, attempts)
        self.by_attempts[attempts_bucket(attempts)] += 1
        if latency_ms is not None:
            self.by_latency[latency_bucket(latency_ms)] += 1

    def add(self, other: Tally) -> None:
        for name in SUMS:
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.most_attempts = max(self.most_attempts, other.most_attempts)
        self.by_attempts = [
            mine + theirs for mine, theirs in zip(self.by_attempts, other.by_attempts, strict=True)
        ]
        self.by_latency = [
            mine + theirs for mine, theirs in zip(self.by_latency, other.by_latency, strict=True)
        ]

    @property
    def failed_attempts(self) -> int:
        """Attempts of applied tasks that did not apply them."""
        return self.attempts - self.applied

    @property
    def first_attempt_success(self) -> float | None:
        """Share of applied tasks that their first attempt applied."""
        return self.applied_first_attempt / self.applied if self.applied else None

    @property
    def retry_amplification(self) -> float | None:
        """Deliveries for each applied task; 1.00 is ideal."""
        return (self.attempts + self.duplicates) / self.applied if self.applied else None

    @property
    def latency_samples(self) -> int:
        return sum(self.by_latency)

    def latency_percentile_ms(self, percent: float) -> float | None:
        """The latency that `percent` of the samples stay under, interpolated within its bucket."""
        wanted = self.latency_samples * percent / 100
        passed = 0
        for bucket, count in enumerate(self.by_latency):
            if count and passed + count >= wanted:
                low = LATENCY_BOUNDS_MS[bucket - 1] if bucket else 0.0
                high = LATENCY_BOUNDS_MS[min(bucket, len(LATENCY_BOUNDS_MS) - 1)]
                return low + (high - low) * (wanted - passed) / count
            passed += count
        return None

    def row(self) -> list[int]:
        sums = (getattr(self, name) for name in SUMS)
        return [*sums, self.most_attempts, *self.by_attempts, *self.by_latency]

    @classmethod
    def of_row(cls, row: Sequence[int]) -> Tally:
        """The tally that `row` holds; an empty row is an empty tally."""
        if not row:
            return cls()
        histograms = len(SUMS) + 1
        split = histograms + len(ATTEMPT_BUCKETS)
        *sums, most = row[:histograms]
        tally = cls(most_attempts=most, by_attempts=list(row[histograms:split]), by_latency=list(row[split:]))
        for name, number in zip(SUMS, sums, strict=True):
            setattr(tally, name, number)
        return tally


def merge_rows(mine: Row, theirs: Row) -> Row:
    """The row of both: sums, and the larger of the most attempts. An empty row stands for nothing."""
    row = add_rows(mine, theirs)
    if mine and theirs:
        row[len(SUMS)] = max(mine[len(SUMS)], theirs[len(SUMS)])
    return row


def sum_of(tallies: Iterable[Tally]) -> Tally:
    total = Tally()
    for tally in tallies:
        total.add(tally)
    return total


def attempts_bucket(attempts: int) -> int:
    return min(attempts, 5) - 1 if attempts <= 8 else 5


def latency_bucket(latency_ms: float) -> int:
    if latency_ms <= 1:
        return 0
    bucket = math.ceil(5 * math.log10(latency_ms) - 1e-9)
    return min(bucket, len(LATENCY_BOUNDS_MS))


def pack_numbers(numbers: Iterable[int]) -> bytes:
    """Whole numbers from 0 to 2^64 - 1 as bytes, the same on every machine."""
    packed = array("Q", numbers)
    if sys.byteorder == "big":
        packed.byteswap()
    return zlib.compress(packed.tobytes(), 1)


def unpack_numbers(blob: bytes | None) -> list[int]:
    """What `pack_numbers` packed; an empty list if there was nothing."""
    if not blob:
        return []
    packed = array("Q", zlib.decompress(blob))
    if sys.byteorder == "big":
        packed.byteswap()
    return packed.tolist()
