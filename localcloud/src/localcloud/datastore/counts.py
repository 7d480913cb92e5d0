"""What was read and written, as it is billed, and how often each method was called."""

from __future__ import annotations

import threading
from collections import Counter


class Counts:
    """Counters since the start, or since the last reset.

    Real service: a lookup of an entity that is not there is a read, a write or delete of each entity is one,
    whatever its indexes; keys-only results are small operations ("Pricing").
    """

    def __init__(self) -> None:
        self._mutex = threading.Lock()
        self._totals: Counter[str] = Counter()
        self._rpcs: Counter[str] = Counter()

    def called(self, method: str) -> None:
        with self._mutex:
            self._rpcs[method] += 1

    def add(self, *, reads: int = 0, writes: int = 0, deletes: int = 0, small_operations: int = 0) -> None:
        with self._mutex:
            self._totals["reads"] += reads
            self._totals["writes"] += writes
            self._totals["deletes"] += deletes
            self._totals["small_operations"] += small_operations

    def clear(self) -> None:
        with self._mutex:
            self._totals.clear()
            self._rpcs.clear()

    def as_json(self) -> dict[str, object]:
        with self._mutex:
            names = ("reads", "writes", "deletes", "small_operations")
            return {**{name: self._totals[name] for name in names}, "rpcs": dict(self._rpcs)}
