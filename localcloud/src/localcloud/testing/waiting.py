"""Waiting for a condition, for a bounded time."""

from __future__ import annotations

import time
from collections.abc import Callable

from localcloud.testing.errors import LocalCloudError

_POLL_SECONDS = 0.02


def wait_until(condition: Callable[[], object], what: str, timeout_seconds: float = 60.0) -> None:
    """Return as soon as `condition()` is true. Raises LocalCloudError naming `what` if it never is."""
    deadline = time.monotonic() + timeout_seconds
    while not condition():
        if time.monotonic() > deadline:
            raise LocalCloudError(f"waited {timeout_seconds:g} s for {what}")
        time.sleep(_POLL_SECONDS)
