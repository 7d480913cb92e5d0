"""What the processes print: on the terminal with a name before each line, and in bounded files."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Callable
from io import FileIO
from pathlib import Path
from typing import TextIO

_COLOURS = (36, 33, 32, 35, 34, 96, 93, 92, 95, 94)
_MAX_LINE_BYTES = 32 * 1024
# A full disk, a user's quota, a limit of the process (ulimit -f).
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class Console:
    """The terminal, shared by all processes. Colours only on a terminal, and never with NO_COLOR set."""

    def __init__(self, stream: TextIO | None = None, environ: dict[str, str] | None = None) -> None:
        self._stream: TextIO | None = stream or sys.stdout
        environment = os.environ if environ is None else environ
        self._coloured = (stream or sys.stdout).isatty() and not environment.get("NO_COLOR")
        self._prefixes: dict[str, str] = {}
        self._width = 0
        self._held: list[tuple[str, list[str]]] | None = None
        # Told of each line of the supervisor itself.
        self.on_say: Callable[[str], None] = lambda _: None

    def introduce(self, name: str) -> None:
        """Make room for `name` in the first column."""
        self._width = max(self._width, len(name))
        self._prefixes.setdefault(name, "")
        for number, known in enumerate(self._prefixes):
            padded = f"{known:<{self._width}} | "
            colour = _COLOURS[number % len(_COLOURS)]
            self._prefixes[known] = f"\x1b[{colour}m{padded}\x1b[0m" if self._coloured else padded

    def hold(self) -> None:
        """Keep the processes' lines back, until it is clear that the start is not refused."""
        self._held = []

    def release(self) -> None:
        """Print what was kept back. Without a `hold` before, nothing."""
        held, self._held = self._held or [], None
        for name, lines in held:
            self.lines(name, lines)

    def lines(self, name: str, lines: list[str]) -> None:
        if self._held is not None:
            self._held.append((name, lines))
            return
        prefix = self._prefixes.get(name) or f"{name} | "
        self._write("".join(f"{prefix}{line}\n" for line in lines))

    def say(self, text: str) -> None:
        """A line of the supervisor itself."""
        self.on_say(text)
        self._write(text + "\n")

    def _write(self, text: str) -> None:
        if self._stream is None:
            return
        try:
            self._stream.write(text)
            self._stream.flush()
        except (OSError, ValueError) as error:
            # A file on a full disk loses some lines, and gets the next ones when there is room again.
            if not isinstance(error, OSError) or error.errno not in _FULL:
                # The reader went away (a closed pipe, a closed terminal); the files in the data folder go on.
                self._stream = None


class LogFile:
    """NAME.log, with one predecessor NAME.log.1; together at most twice `max_bytes`.

    A log never stops its process: what can't be written is left out, and `refused` gets the reason.
    """

    def __init__(
        self,
        path: Path,
        refused: Callable[[Path, OSError], None],
        max_bytes: int = 5_000_000,
    ) -> None:
        self.path = path
        self._max_bytes = max_bytes
        self._refused = refused
        self._file: FileIO | None = None
        self.write(b"")

    def write(self, data: bytes) -> None:
        try:
            if self._file is None:
                self._file = self._open(self.path)
            # Without a buffer: what a full disk refused would wait there, and fail again at the close.
            rest = memoryview(data)
            while rest:
                rest = rest[self._file.write(rest) :]
            if self._file.tell() > self._max_bytes:
                self._begin_another(self._file)
        except OSError as error:
            self._refused(self.path, error)

    def close(self) -> None:
        """A later write opens the file again."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _begin_another(self, full: FileIO) -> None:
        # Made before the full one is put away: where that fails, the full one is still there.
        draft = self.path.with_name(self.path.name + ".new")
        fresh = self._open(draft)
        self.path.replace(self.path.with_name(self.path.name + ".1"))
        draft.replace(self.path)
        self._file = fresh
        full.close()

    @staticmethod
    def _open(path: Path) -> FileIO:
        path.parent.mkdir(parents=True, exist_ok=True)
        return FileIO(path, "a")


class LineSplitter:
    """Cuts a stream of bytes into lines; an endless line is cut too, so that memory stays bounded."""

    def __init__(self, on_lines: Callable[[list[str]], None]) -> None:
        self._on_lines = on_lines
        self._rest = b""

    def feed(self, data: bytes) -> None:
        *complete, self._rest = (self._rest + data).split(b"\n")
        if len(self._rest) > _MAX_LINE_BYTES:
            complete.append(self._rest)
            self._rest = b""
        if complete:
            self._on_lines([line.rstrip(b"\r").decode("utf-8", "replace") for line in complete])

    def finish(self) -> None:
        if self._rest:
            self.feed(b"\n")
