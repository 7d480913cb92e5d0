"""All processes' lines in the order in which they came, each with its time: what the console shows."""

from __future__ import annotations

import time
from collections.abc import Callable

from localcloud.supervisor.logs import LogFile

TIMELINE_FILE = "timeline"
SUPERVISOR = "localcloud"


class Timeline:
    """Lines of `TIME LABEL TEXT` in a bounded file; the time is microseconds since 1970."""

    def __init__(self, file: LogFile, clock: Callable[[], float] = time.time) -> None:
        self._file = file
        self._clock = clock

    def add(self, label: str, lines: list[str]) -> None:
        """What a process has printed just now."""
        head = f"{int(self._clock() * 1e6)} {label} "
        self._file.write("".join(f"{head}{line}\n" for line in lines).encode("utf-8", "replace"))

    def say(self, text: str) -> None:
        """A line of the supervisor itself."""
        self.add(SUPERVISOR, text.split("\n"))

    def close(self) -> None:
        self._file.close()
