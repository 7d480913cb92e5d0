"""Time, as everything here sees it: whole microseconds since 1970, from a clock that a test can replace.

Whole numbers, because a float of today's date holds no more than a quarter of a microsecond, and because a
test compares them exactly.
"""

import asyncio
import time
from collections.abc import Callable
from typing import Any, Protocol

SECOND_US = 1_000_000
MILLISECOND_US = 1_000


class Timer(Protocol):
    """Something that will happen once, unless it is cancelled. Cancelling twice, or too late, is harmless."""

    def cancel(self) -> None: ...


class Clock(Protocol):
    """The present, and calls in the future."""

    def now_us(self) -> int:
        """Microseconds since 1970, UTC."""

    def call_at(self, when_us: int, callback: Callable[..., Any], *arguments: Any) -> Timer:
        """Call back at `when_us`, at once if that is past. Never from inside this call."""


class LoopClock:
    """The system's clock, and the timers of the running event loop.

    Wall-clock time is taken once and advanced by the monotonic clock, so that a clock set back while the
    server runs delays no task.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._offset_ns = time.time_ns() - time.monotonic_ns()

    def now_us(self) -> int:
        return (self._offset_ns + time.monotonic_ns()) // 1000

    def call_at(self, when_us: int, callback: Callable[..., Any], *arguments: Any) -> Timer:
        delay_us = when_us - self.now_us()
        return self._loop.call_later(max(0, delay_us) / SECOND_US, callback, *arguments)


class WallClock(LoopClock):
    """The time of day, for what depends on it: correct even after a laptop has slept."""

    def now_us(self) -> int:
        return time.time_ns() // 1000
