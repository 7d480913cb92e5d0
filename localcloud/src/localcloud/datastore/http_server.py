"""An HTTP server of a thread for each connection, which knows its connections."""

from __future__ import annotations

import logging
import socket
import sys
import threading
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

_MAX_CONNECTIONS = 512
_GRACE_SECONDS = 5.0
_log = logging.getLogger(__name__)


class ConnectionServer(ThreadingHTTPServer):
    """Each connection may serve many requests, and none outlives `close_connections`."""

    request_queue_size = 128

    def __init__(self, address: tuple[str, int], handler: type[BaseHTTPRequestHandler]) -> None:
        self._mutex = threading.Lock()
        self._connections: dict[socket.socket, threading.Thread] = {}
        super().__init__(address, handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        """A thread for the connection."""
        thread = threading.Thread(
            target=self.process_request_thread, args=(request, client_address), daemon=True
        )
        with self._mutex:
            is_full = len(self._connections) >= _MAX_CONNECTIONS
            if not is_full:
                self._connections[request] = thread
        if is_full:
            self.shutdown_request(request)
        else:
            thread.start()

    def shutdown_request(self, request: Any) -> None:
        """The connection has ended."""
        with self._mutex:
            self._connections.pop(request, None)
        super().shutdown_request(request)

    def handle_error(self, *_: Any) -> None:
        """A client that went away in the middle is not worth a line; anything else is."""
        if not isinstance(sys.exception(), OSError):
            _log.exception("an HTTP request failed")

    def close_connections(self) -> None:
        """Ends idle connections at once, the others when they have been answered."""
        with self._mutex:
            connections = dict(self._connections)
        for connection in connections:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RD)
        for thread in connections.values():
            thread.join(_GRACE_SECONDS)
