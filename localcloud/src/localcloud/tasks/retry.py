"""When a failed task is tried again, and when it is given up."""

from dataclasses import dataclass

from localcloud.tasks.clock import SECOND_US

UNLIMITED = -1
# What a google.protobuf.Duration may hold: ten thousand years.
MAX_DURATION_SECONDS = 315_576_000_000


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """A queue's or a task's retry_config. The defaults are those of queue.yaml."""

    max_attempts: int = UNLIMITED  # the first attempt included
    max_retry_duration_us: int = 0  # since the first attempt; 0: unlimited
    min_backoff_us: int = SECOND_US // 10
    max_backoff_us: int = 3600 * SECOND_US
    max_doublings: int = 16

    def backoff_us(self, retry: int) -> int:
        """How long after the failure retry number `retry` (1 is the first) takes place.

        Real service: starts at min_backoff, doubles max_doublings times, then grows linearly, and stays at
        max_backoff (RetryConfig.max_doublings; the formula is that of the SDK's task queue stub, class
        Retry).
        """
        doublings = min(retry - 1, self.max_doublings)
        steps = retry - doublings
        # A thousand doublings of anything is above the maximum; without the bound the number would be huge.
        return min(self.max_backoff_us, (self.min_backoff_us << min(doublings, 1023)) * steps)

    def may_retry(self, attempts: int, age_us: int) -> bool:
        """Is there another attempt after `attempts` of them, `age_us` after the first began?

        Real service: with both limits set, a task ends only when both are exhausted; with one, that one
        decides; with none, never (RetryConfig.max_attempts; the SDK's stub, Retry.CanRetry).
        """
        attempts_left = attempts < self.max_attempts
        young = age_us <= self.max_retry_duration_us
        limits_attempts = self.max_attempts != UNLIMITED
        limits_age = self.max_retry_duration_us > 0
        if limits_attempts and limits_age:
            return attempts_left or young
        if limits_attempts:
            return attempts_left
        return young if limits_age else True
