"""Remembers the last tasks that were given up, or got older than their queue keeps tasks."""

from __future__ import annotations

from collections import deque
from typing import Any

REMEMBERED_TASKS = 100


class GivenUpTasks:
    """A line for each; `count` counts all since the start, also those that are no longer remembered."""

    def __init__(self) -> None:
        self.count = 0
        self._lines: deque[str] = deque(maxlen=REMEMBERED_TASKS)

    def note(self, line: str) -> None:
        self.count += 1
        self._lines.append(line)

    def since(self, count: int) -> list[str]:
        """The lines of those after the first `count`, as far as they are remembered."""
        new = self.count - count
        return list(self._lines)[-new:] if new > 0 else []

    def as_json(self) -> dict[str, Any]:
        """For GET /given-up."""
        return {"count": self.count, "tasks": list(self._lines)}
