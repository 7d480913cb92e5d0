"""A child that ends with this process, together with all that it starts, even if every guard is gone.

Linux: a read end of a pipe may name a process group that gets a signal when something happens to the pipe
(fcntl(2): F_SETOWN, F_SETSIG, O_ASYNC). The child and what it starts hold that end, this process alone holds
the other: when it ends, for whatever reason, the kernel itself sends SIGKILL to the group. The
parent-death signal of prctl(2) would follow one thread, and reach the child but none of its children.

Elsewhere a leash ends nothing by itself: there two guards watch.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
from collections.abc import Sequence

HAS_LEASHES = hasattr(fcntl, "F_SETSIG")

# The child waits for a line on its standard input, so that it does nothing before it is tied and watched.
_GATE = 'read -r go && exec "$@" </dev/null'
OPEN_GATE = b"go\n"


def gated(arguments: Sequence[str]) -> list[str]:
    """The command, waiting for OPEN_GATE on its standard input first. If that closes without, it exits."""
    return ["/bin/sh", "-c", _GATE, "sh", *arguments]


class Leash:
    """Ties one process group to this process: pass `end` on to its first process, then `tie` it."""

    def __init__(self) -> None:
        self.end, self._our_end = os.pipe()
        self._held = True

    def tie(self, group: int) -> None:
        """From now on the group gets SIGKILL when this process ends, or lets go."""
        if not HAS_LEASHES:
            return
        with contextlib.suppress(ProcessLookupError):  # it has ended already
            fcntl.fcntl(self.end, fcntl.F_SETOWN, -group)
            fcntl.fcntl(self.end, fcntl.F_SETSIG, signal.SIGKILL)
            fcntl.fcntl(self.end, fcntl.F_SETFL, fcntl.fcntl(self.end, fcntl.F_GETFL) | os.O_ASYNC)

    def let_go(self) -> None:
        """End what is left of the group. A second call does nothing."""
        if self._held:
            self._held = False
            # In this order: the signal is sent when the last writer goes while a reader is left.
            os.close(self._our_end)
            os.close(self.end)
