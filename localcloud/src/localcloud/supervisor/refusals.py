"""The data folder refuses a write, as on a full disk: logged once a minute, whichever file it was."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

_EVERY_SECONDS = 60.0


class Refusals:
    """Counts the time since the last line. `say` prints one."""

    def __init__(self, say: Callable[[str], None], clock: Callable[[], float] = time.monotonic) -> None:
        self._say = say
        self._clock = clock
        self._told_at: float | None = None

    def note(self, path: Path, error: OSError) -> None:
        """A write to `path` failed; what it would have added is lost, if it was a log's."""
        now = self._clock()
        if self._told_at is not None and now - self._told_at < _EVERY_SECONDS:
            return
        self._told_at = now
        self._say(
            f"{path} can't be written: {error.strerror or error}. Everything keeps running; "
            "once there is room, writing goes on by itself."
        )
