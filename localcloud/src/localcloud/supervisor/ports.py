"""Ports: free ones for internal use, and a clear error if the one asked for is taken."""

from __future__ import annotations

import contextlib
import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path

from localcloud.supervisor.sockets import holder_of

# Below the range from which the system takes ports for outgoing connections (32768 and up): a process that
# is restarted must find its port unused.
_FIRST, _LAST = 20_000, 32_000
_BLOCK = 20


class PortTakenError(Exception):
    """The text is one line: which port, who holds it, what to do."""


class FreePorts:
    """Hands out ports that nobody listens on, each once, and keeps them for their taker.

    A taken port stays claimed until it is released, or this process ends: nobody else draws it between the
    test and the use, nor while the server on it is dead and about to be started again. The claim is the UDP
    port of the same number, which no server here uses, and which the system gives to one process alone.
    """

    def __init__(self, host: str) -> None:
        self._host = host
        self._candidates = self._count_up(os.getpid())
        self._claims: dict[int, socket.socket] = {}

    def take(self) -> int:
        for port in self._candidates:
            claim = self._claim(port)
            if claim is None:
                continue
            if is_free(self._host, port):
                self._claims[port] = claim
                return port
            claim.close()
        raise PortTakenError(f"no port from {_FIRST} to {_LAST} is free on {self._host}")

    def release(self, *ports: int) -> None:
        """Let others have them."""
        for port in ports:
            self._claims.pop(port).close()

    def __del__(self) -> None:
        self.release(*self._claims)

    def _claim(self, port: int) -> socket.socket | None:
        claim = socket.socket(_family(self._host), socket.SOCK_DGRAM)
        try:
            claim.bind((self._host, port))
        except OSError:
            claim.close()
            return None
        return claim

    @staticmethod
    def _count_up(seed: int) -> Iterator[int]:
        span = _LAST - _FIRST
        start = seed * _BLOCK % span
        for step in range(span):
            yield _FIRST + (start + step) % span


def is_free(host: str, port: int) -> bool:
    """Could a server listen there now?"""
    with socket.socket(_family(host), socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
        return True


def _family(host: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in host else socket.AF_INET


def is_listening(host: str, port: int) -> bool:
    """Does something accept connections there now?"""
    try:
        with socket.create_connection((host, port), timeout=1.0):
            return True
    except OSError:
        return False


def require_free(host: str, port: int, option: str, patience_seconds: float = 1.5) -> None:
    """Raise PortTakenError unless `port` is free, or becomes so in a moment: a stack that was killed with
    SIGKILL needs that moment to vanish. Also for a host that this machine does not have.
    """
    if not is_free(host, 0):
        raise PortTakenError(
            f"--host {host}: this machine has no such address; expected for example 127.0.0.1"
        )
    deadline = time.monotonic() + patience_seconds
    while port and not is_free(host, port):
        if time.monotonic() > deadline:
            raise PortTakenError(_complaint(host, port, option))
        time.sleep(0.05)


def _complaint(host: str, port: int, option: str) -> str:
    if port < 1024 and os.geteuid() != 0:
        return f"{option} {port}: ports below 1024 need more rights; expected for example {option} 8080"
    make = f"make run PORT={port + 1}, or " if option == "--port" else ""
    return f"port {port} on {host} is taken{_holder(port)}. Choose another: {make}{option} {port + 1}"


def _holder(port: int) -> str:
    """`, by python (process 123)` if the system tells, else a hint how to find out."""
    pid = holder_of(port)
    with contextlib.suppress(OSError):
        if pid is not None:
            return f", by {Path(f'/proc/{pid}/comm').read_text().strip()} (process {pid})"
    return f" (to see by whom: lsof -i :{port})"
