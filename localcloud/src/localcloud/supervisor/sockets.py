"""Which TCP ports processes listen on, as Linux shows in /proc. Elsewhere nothing is found."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path

_PROC = Path("/proc")
_LISTENING = "0A"


@dataclass(frozen=True, slots=True, order=True)
class Listener:
    """A listening socket."""

    host: str
    port: int

    @property
    def is_for_everybody(self) -> bool:
        """Can other machines reach it?"""
        return not ip_address(self.host).is_loopback

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def listeners_of_session(session: int) -> set[Listener]:
    """What the processes of a session (`setsid`) listen on: a program, and all that it has started."""
    pids = [pid for pid in _processes() if _session_of(pid) == session]
    by_inode = _listening_inodes()
    return {by_inode[inode] for pid in pids for inode in _socket_inodes(pid) if inode in by_inode}


def holder_of(port: int) -> int | None:
    """The process that listens on `port`, at whatever address; None where that can't be seen."""
    by_inode = {inode: one for inode, one in _listening_inodes().items() if one.port == port}
    for pid in _processes() if by_inode else ():
        if not by_inode.keys().isdisjoint(_socket_inodes(pid)):
            return pid
    return None


def _listening_inodes() -> dict[str, Listener]:
    found: dict[str, Listener] = {}
    for table in ("tcp", "tcp6"):
        try:
            rows = (_PROC / "net" / table).read_text().splitlines()[1:]
        except OSError:
            continue
        for fields in (row.split() for row in rows):
            if fields[3] == _LISTENING:
                host, _, port = fields[1].partition(":")
                found[fields[9]] = Listener(_host(host), int(port, 16))
    return found


def _host(text: str) -> str:
    """The address that the kernel prints as words of four bytes in its own order, in hexadecimal."""
    words = [bytes.fromhex(text[start : start + 8])[::-1] for start in range(0, len(text), 8)]
    return socket.inet_ntop(socket.AF_INET6 if len(words) > 1 else socket.AF_INET, b"".join(words))


def _processes() -> Iterator[int]:
    for folder in _PROC.glob("[0-9]*"):
        yield int(folder.name)


def _session_of(pid: int) -> int | None:
    try:
        # The name before may hold anything, parentheses too.
        return int((_PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()[3])
    except (OSError, IndexError):
        return None


def _socket_inodes(pid: int) -> Iterator[str]:
    try:
        links = list((_PROC / str(pid) / "fd").iterdir())
    except OSError:
        return
    for link in links:
        try:
            target = str(link.readlink())
        except OSError:
            continue
        if target.startswith("socket:["):
            yield target[8:-1]
