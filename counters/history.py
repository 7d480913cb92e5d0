"""The history of a counter: what was added to it, minute by minute, hour by hour and day by day.

It is part of the shard, so the transaction that changes the value writes it: it is as exact as the value, and
costs no further write. A row holds the sum of the amounts and the number of increments.

In a shard it is one property. Its first line has the value and the number of increments that it reaches to,
and the rows of the periods that are under way; the second line has the lengths of the packed rings, which
follow. Most writes change the first line only.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from pushtasks.ring import SCALES, Ring, Running, Scale, Span, numbers_as_json, series, whole

_NO_RINGS = b"[0,0,0]\n"


@dataclass(frozen=True, slots=True)
class Point:
    """What was added to a counter in one period."""

    starts_at: datetime
    amount: int
    increments: int


@dataclass(frozen=True, slots=True)
class Series:
    """A counter's points over a span, oldest first; the last one is still under way."""

    span: Span
    points: list[Point]
    value_before: int
    """The counter's value before the first point."""


def extended(history: bytes | None, value: int, increments: int, now: datetime) -> bytes:
    """A shard's history up to the value and the number of increments that it has now."""
    if history is None:
        numbers, rings = [0, 0], _NO_RINGS
    else:
        first, rings = history.split(b"\n", 1)
        numbers = json.loads(first)
    running = Running(numbers[2:])
    ended = running.add(now, [value - numbers[0], increments - numbers[1]])
    if ended:
        blobs = dict(zip(SCALES, _split(rings), strict=True))
        for scale, period, row in ended:
            ring = Ring.unpack(scale, blobs[scale])
            ring.add(period, row)
            blobs[scale] = ring.pack()
        rings = _joined(blobs.values())
    return numbers_as_json([value, increments, *running.numbers]) + b"\n" + rings


def ring_of(history: bytes | None, scale: Scale) -> Ring:
    """A shard's ring of one scale, the period that is under way included."""
    if history is None:
        return Ring(scale)
    first, rings = history.split(b"\n", 1)
    ring = Ring.unpack(scale, _split(rings)[SCALES.index(scale)])
    return whole(ring, Running(json.loads(first)[2:]))


def of_counter(
    shards: Iterable[bytes | None], value: int, spans: Iterable[Span], now: datetime
) -> dict[str, Series]:
    """By span: the sum of these shards' histories. `value` is the sum of their values."""
    histories = list(shards)
    found = {}
    for span in spans:
        points = []
        rings = (ring_of(each, span.scale) for each in histories)
        for period, row in series(rings, span, now):
            amount, increments = row or (0, 0)
            points.append(Point(span.scale.starts_at(period), amount, increments))
        found[span.name] = Series(span, points, value - sum(point.amount for point in points))
    return found


def _joined(blobs: Iterable[bytes]) -> bytes:
    parts = list(blobs)
    return numbers_as_json([len(part) for part in parts]) + b"\n" + b"".join(parts)


def _split(rings: bytes) -> list[bytes]:
    lengths, packed = rings.split(b"\n", 1)
    blobs, start = [], 0
    for length in json.loads(lengths):
        blobs.append(packed[start : start + length])
        start += length
    return blobs
