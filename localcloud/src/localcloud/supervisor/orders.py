"""What the console may ask of the supervisor: lines through a pipe that no other process has."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable

_MOST_BYTES = 4096


class Orders:
    """Reads lines of two words, `restart LABEL`; `descriptor` is the end that the console inherits."""

    def __init__(self, obey: Callable[[str, str], None]) -> None:
        self._obey = obey
        self._read, self.descriptor = os.pipe()
        os.set_blocking(self._read, False)
        self._rest = b""
        asyncio.get_running_loop().add_reader(self._read, self._receive)

    def close(self) -> None:
        asyncio.get_running_loop().remove_reader(self._read)
        os.close(self._read)
        os.close(self.descriptor)

    def _receive(self) -> None:
        *lines, self._rest = (self._rest + os.read(self._read, _MOST_BYTES)).split(b"\n")
        self._rest = self._rest[-_MOST_BYTES:]
        for line in lines:
            verb, _, label = line.decode("utf-8", "replace").partition(" ")
            self._obey(verb, label)


def give(descriptor: int, verb: str, label: str) -> None:
    """Write an order. One write of less than a pipe's unit arrives whole."""
    os.write(descriptor, f"{verb} {label}\n".encode())
