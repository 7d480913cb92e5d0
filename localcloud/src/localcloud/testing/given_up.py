"""Asks a Cloud Tasks which tasks it has given up, so that a test can assert that there were none."""

from __future__ import annotations

from localcloud.testing import http

# For a report on a failing test: a stopped server must not hold it up.
_ANSWER_SECONDS = 5.0


class GivenUp:
    """What was given up since the last question; `told` keeps the answers, for a report."""

    def __init__(self) -> None:
        self.told: list[str] = []
        self._seen = 0

    def ask(self, address: str) -> list[str]:
        """A line for each task, e.g. `jobs/t1 attempt 3 failed: status 500`. `address`: of the side port."""
        answer = http.call("GET", address, "/given-up", timeout_seconds=_ANSWER_SECONDS)
        # A server that was restarted counts from 0.
        count = answer["count"] - (self._seen if self._seen <= answer["count"] else 0)
        self._seen = answer["count"]
        new: list[str] = answer["tasks"][-count:] if count else []
        self.told += new
        return new
