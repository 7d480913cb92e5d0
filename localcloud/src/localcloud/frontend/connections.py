"""All clients' connections: how many there are, which has been idle for longest, how much memory they hold.

Anybody may connect, so each of these has a bound, whether or not the application has a sign-in.
"""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from localcloud.frontend.client_connection import ClientConnection

MAX_CONNECTIONS = 1000
# Bodies that are being received, or belong to requests that are being answered.
MAX_HELD_BYTES = 256 * 1024 * 1024
_WANTED_DESCRIPTORS = 4096
# What else is open: files, the listener, the loop's own, and kept connections to instances.
_OTHER_DESCRIPTORS = 256
_TELL_EVERY_SECONDS = 60.0


class Connections:
    """The connections that are open, and those whose client has gone but whose request is still answered."""

    def __init__(
        self,
        most: int = MAX_CONNECTIONS,
        most_held_bytes: int = MAX_HELD_BYTES,
        log: Callable[[str], None] = lambda text: print(text, file=sys.stderr, flush=True),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`most`: how many connections; `most_held_bytes`: of all request bodies together."""
        self.most = most
        self._most_held_bytes = most_held_bytes
        self.held_bytes = 0
        self._log = log
        self.clock = clock
        self._all: set[ClientConnection] = set()
        # Those that wait for their client, the longest idle first.
        self._idle: dict[ClientConnection, None] = {}
        self._told: dict[str, tuple[float, int]] = {}

    def __len__(self) -> int:
        return len(self._all)

    def __iter__(self) -> Iterator[ClientConnection]:
        return iter(list(self._all))

    def admit(self, connection: ClientConnection) -> bool:
        """Count a new one, as idle. If it is one too many, close the longest idle; False if none is idle."""
        if len(self._all) >= self.most:
            longest_idle = next(iter(self._idle), None)
            if longest_idle is None:
                self.tell(f"all {self.most} connections are busy: a new one was refused")
                return False
            self.tell(f"more than {self.most} connections: the one that was idle for longest was closed")
            longest_idle.evict()
        self._all.add(connection)
        self._idle[connection] = None
        return True

    def begin_work(self, connection: ClientConnection) -> None:
        """A request is being answered: closing the connection would lose the answer."""
        self._idle.pop(connection, None)

    def begin_idling(self, connection: ClientConnection) -> None:
        """It waits for its client, from now on."""
        if connection in self._all:
            self._idle.pop(connection, None)
            self._idle[connection] = None

    def discard(self, connection: ClientConnection) -> None:
        self._all.discard(connection)
        self._idle.pop(connection, None)

    def hold(self, connection: ClientConnection, size: int) -> bool:
        """`size` more bytes of a body are to be kept. If that is too much in all, the body that has waited
        for its client for longest is given up; False if no other waits.
        """
        while self.held_bytes + size > self._most_held_bytes:
            self.tell(
                f"request bodies of {self._most_held_bytes // 2**20} MB are held already: one was given up"
            )
            others = (one for one in self._idle if one.held_bytes and one is not connection)
            longest_idle = next(others, None)
            if longest_idle is None:
                return False
            longest_idle.evict()
        self.held_bytes += size
        return True

    def release(self, size: int) -> None:
        self.held_bytes -= size

    def tell(self, text: str) -> None:
        """A line in the log; the same text again within a minute is only counted."""
        now = self.clock()
        told_at, untold = self._told.get(text, (now - _TELL_EVERY_SECONDS, 0))
        if now - told_at < _TELL_EVERY_SECONDS:
            self._told[text] = told_at, untold + 1
            return
        self._told[text] = now, 0
        self._log(f"{text} (and {untold} times since this was last said)" if untold else text)


def most_connections() -> int:
    """How many clients this process may have at once: each request needs a second descriptor, to an instance.

    Raises the process's own limit of descriptors where the system lets it.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < _WANTED_DESCRIPTORS:
        wanted = _WANTED_DESCRIPTORS if hard == resource.RLIM_INFINITY else min(hard, _WANTED_DESCRIPTORS)
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        soft = wanted
    if soft == resource.RLIM_INFINITY:
        return MAX_CONNECTIONS
    return max(16, min(MAX_CONNECTIONS, (soft - _OTHER_DESCRIPTORS) // 2))
