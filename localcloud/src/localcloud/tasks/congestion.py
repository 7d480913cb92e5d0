"""Congestion control: a queue slows down when its target is overloaded, and speeds up again when it recovers.

Real service: 503 from an App Engine handler, 429 and 503 from an HTTP target, and a high rate of errors make
the service throttle the whole queue for a while; the user's settings do not change (HttpRequest,
AppEngineHttpRequest).
We differ: how much and for how long is not documented. Here the rate halves, at most once a second, and
doubles again with every second that passes without such an answer and with a success. There is no slow start
of a new, idle or resumed queue: on one machine it would only be a wait.
"""

from localcloud.tasks.clock import SECOND_US

# How long one slow-down lasts at least, and the window in which errors are counted.
WINDOW_US = SECOND_US
# Fewer results than this in a window say nothing about the rate of errors.
FLOOD_RESULTS = 20
FLOOD_SHARE = 0.5
# However congested, a queue keeps asking this often.
LOWEST_RATE_PER_SECOND = 1.0


class Congestion:
    """The factor between 0 and 1 that a queue's rate is multiplied by."""

    def __init__(self, now_us: int) -> None:
        self.factor = 1.0
        self._changed_us = now_us
        self._window_us = now_us
        self._results = 0
        self._failures = 0

    def rate(self, rate_per_second: float) -> float:
        """The rate that is left of `rate_per_second`."""
        if self.factor == 1.0:
            return rate_per_second
        return max(rate_per_second * self.factor, min(rate_per_second, LOWEST_RATE_PER_SECOND))

    def record(self, now_us: int, *, success: bool, overloaded: bool, rate_per_second: float) -> bool:
        """Note the result of an attempt. True if the factor has changed."""
        if now_us - self._window_us >= WINDOW_US:
            self._window_us, self._results, self._failures = now_us, 0, 0
        self._results += 1
        self._failures += not success
        flood = self._results >= FLOOD_RESULTS and self._failures > self._results * FLOOD_SHARE
        if overloaded or (flood and not success):
            return self._slow_down(now_us, rate_per_second)
        if success and self.factor < 1.0 and now_us - self._changed_us >= WINDOW_US:
            self.factor = min(1.0, self.factor * 2)
            self._changed_us = now_us
            return True
        return False

    def _slow_down(self, now_us: int, rate_per_second: float) -> bool:
        if self.factor < 1.0 and now_us - self._changed_us < WINDOW_US:
            return False
        # The answers to what was sent at the old rate come in for a while: they say nothing new.
        if self.rate(rate_per_second) > LOWEST_RATE_PER_SECOND:
            self.factor /= 2
        self._changed_us = now_us
        return True
