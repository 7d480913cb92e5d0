"""A queue's token bucket: how many tasks it may dispatch now, and when it may dispatch the next."""

from localcloud.tasks.clock import SECOND_US

# A rate may be as small as a float can be; a century is as good as never.
LONGEST_WAIT_US = 100 * 366 * 24 * 3600 * SECOND_US


class TokenBucket:
    """Holds up to `burst` tokens and gains `rate_per_second` of them every second; a dispatch takes one.

    Real service: a bucket of max_burst_size, refilled with max_dispatches_per_second, shared by first
    attempts and retries (RateLimits.max_burst_size). A rate of 0 never gives a token.
    """

    def __init__(self, rate_per_second: float, burst: float, now_us: int) -> None:
        self._rate = rate_per_second
        self._burst = max(1.0, burst)
        # Real service: the bucket of a queue starts full.
        self._tokens = self._burst
        self._at_us = now_us

    @property
    def rate_per_second(self) -> float:
        return self._rate

    def change(self, rate_per_second: float, burst: float, now_us: int) -> None:
        """From now on another rate and size; tokens above the new size are lost."""
        self._refill(now_us)
        self._rate = rate_per_second
        self._burst = max(1.0, burst)
        self._tokens = min(self._tokens, self._burst)

    def take(self, now_us: int) -> bool:
        """Take a token, if there is one."""
        self._refill(now_us)
        # A millionth of a token is rounding, not a dispatch too many: the time of a whole token is rounded to
        # a microsecond, too.
        if self._tokens < 1 - 1e-6:
            return False
        self._tokens -= 1
        return True

    def next_us(self, now_us: int) -> int | None:
        """When the next token is there; None if never."""
        self._refill(now_us)
        if self._tokens >= 1 - 1e-6:
            return now_us
        if self._rate <= 0:
            return None
        wait_us = (1 - self._tokens) / self._rate * SECOND_US
        return now_us + max(1, round(min(wait_us, LONGEST_WAIT_US)))

    def _refill(self, now_us: int) -> None:
        elapsed_us = now_us - self._at_us
        if elapsed_us > 0:
            self._tokens = min(self._burst, self._tokens + elapsed_us * self._rate / SECOND_US)
            self._at_us = now_us
