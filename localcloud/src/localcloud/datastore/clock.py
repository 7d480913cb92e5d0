"""The clock, replaceable: versions and lifetimes are whole microseconds since 1970."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeAlias

SECOND_US = 1_000_000
MILLISECOND_US = 1_000

Clock: TypeAlias = Callable[[], int]
"""Now, in microseconds since 1970, UTC."""


def system_clock() -> int:
    """The machine's own clock."""
    return time.time_ns() // 1000
