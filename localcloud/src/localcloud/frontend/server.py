"""Listens for clients, and stops gracefully."""

from __future__ import annotations

import asyncio
import time

from localcloud.frontend.client_connection import ClientConnection, Handle
from localcloud.frontend.connections import Connections

_SWEEP_SECONDS = 5.0


class Server:
    """Listens, and stops gracefully."""

    def __init__(self, handle: Handle, connections: Connections | None = None) -> None:
        self._handle = handle
        self._connections = Connections() if connections is None else connections
        self._server: asyncio.Server | None = None
        self._sweeper: asyncio.Task[None] | None = None

    async def start(self, host: str, port: int) -> int:
        """Listen; the port, for `port` 0 the one that was free. Raises OSError where that can't be."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(
            lambda: ClientConnection(self._handle, self._connections), host, port, backlog=1024
        )
        self._sweeper = asyncio.create_task(self._sweep())
        return int(self._server.sockets[0].getsockname()[1])

    async def stop(self, grace_seconds: float) -> None:
        """Accept nothing new, finish what is being answered for at most `grace_seconds`, close."""
        if self._server is None or self._sweeper is None:
            return
        self._server.close()
        self._sweeper.cancel()
        deadline = time.monotonic() + grace_seconds
        for connection in self._connections:
            connection.finish()
        while any(connection.is_busy for connection in self._connections) and time.monotonic() < deadline:
            await asyncio.sleep(0.02)

    def close_idle(self) -> None:
        """Close the connections that have waited for their client for too long."""
        for connection in self._connections:
            connection.close_if_idle(self._connections.clock())

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(_SWEEP_SECONDS)
            self.close_idle()
