"""Which shard and which statistics entity this process writes.

App Engine gives a process no number. So a process draws one of a few fixed slots, and another when it meets
contention. Two processes on one slot are slower, never wrong.
"""

from __future__ import annotations

import random


class Slot:
    def __init__(self, count: int, randomness: random.Random | None = None) -> None:
        self._count = count
        self._random = randomness or random.SystemRandom()
        self.number = self._random.randrange(count)

    def redraw(self) -> None:
        """Move to another slot, if there is one."""
        if self._count > 1:
            step = self._random.randrange(1, self._count)
            self.number = (self.number + step) % self._count
