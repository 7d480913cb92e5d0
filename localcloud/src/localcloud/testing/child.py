"""A child process that ends with this one, however that ends."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO

from localcloud.supervisor.guard import Guard
from localcloud.supervisor.leash import OPEN_GATE, Leash, gated


class Child:
    """A command in a process group of its own, on a leash and guarded. Its output goes to a file."""

    def __init__(
        self,
        arguments: Sequence[str],
        output: IO[bytes],
        environ: Mapping[str, str],
        folder: Path | None = None,
    ) -> None:
        """Raises OSError if it can't be started."""
        self._guard = Guard()
        self._leash = Leash()
        try:
            self.process = subprocess.Popen(
                gated(arguments),
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=folder,
                env=environ,
                start_new_session=True,
                pass_fds=(self._leash.end,),
            )
        except OSError:
            self.let_go()
            raise
        self._leash.tie(self.process.pid)
        self._guard.watch(self.process.pid)
        assert self.process.stdin is not None
        with contextlib.suppress(BrokenPipeError), self.process.stdin as gate:
            gate.write(OPEN_GATE)

    def let_go(self) -> None:
        """End what is left of it and its group. A second call does nothing."""
        self._leash.let_go()
        self._guard.close()
