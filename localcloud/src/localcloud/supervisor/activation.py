"""A socket that listens from the start, for a process that is started by its first connection.

The process inherits the socket and accepts what waits there. Until then it takes no memory; and while it is
started again after a crash, connections wait.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable


class Activation:
    """Listens on an address of this machine."""

    def __init__(self, host: str, port: int) -> None:
        """Raises OSError where that can't be."""
        self._socket = socket.create_server((host, port), backlog=128)
        self.port: int = self._socket.getsockname()[1]

    @property
    def descriptor(self) -> int:
        """What the process inherits."""
        return self._socket.fileno()

    def on_first_connection(self, start: Callable[[], None]) -> None:
        """Call `start` once, as soon as somebody connects."""
        loop = asyncio.get_running_loop()

        def arrived() -> None:
            loop.remove_reader(self._socket)
            start()

        loop.add_reader(self._socket, arrived)

    def close(self) -> None:
        """Refuse connections from now on, and those that wait. A second call does nothing."""
        if self._socket.fileno() >= 0:
            asyncio.get_running_loop().remove_reader(self._socket)
            self._socket.close()
