"""gRPC connections that come to the HTTP port go on to the gRPC port: one address serves all clients."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress

# The first bytes of a connection that speaks HTTP/2, which no method of HTTP/1.1 begins with (RFC 9113, 3.4).
_HTTP2 = b"PRI"
_CHUNK_BYTES = 64 * 1024


def is_http2(connection: socket.socket) -> bool:
    """Does the connection begin with HTTP/2's preface? Waits for its first bytes, and leaves them there."""
    return connection.recv(len(_HTTP2), socket.MSG_PEEK | socket.MSG_WAITALL) == _HTTP2


def relay(connection: socket.socket, address: tuple[str, int]) -> None:
    """Copies both ways between the connection and the address, until both sides have ended."""
    with socket.create_connection(address) as upstream:
        upstream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        answers = threading.Thread(target=_copy, args=(upstream, connection), daemon=True)
        answers.start()
        _copy(connection, upstream)
        answers.join()


def _copy(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while chunk := source.recv(_CHUNK_BYTES):
            target.sendall(chunk)
    with suppress(OSError):
        target.shutdown(socket.SHUT_WR)
