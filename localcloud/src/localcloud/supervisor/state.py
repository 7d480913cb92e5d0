"""state.json in the data folder: where everything is and under which process ids, for tests and tools.

Also the lock that keeps two local clouds from using one data folder.
"""

from __future__ import annotations

import fcntl
import json
import os
from pathlib import Path
from typing import Any, TextIO

STATE_FILE = "state.json"


class FolderInUseError(Exception):
    """The text is one line."""


class DataFolder:
    """The data folder, held by this process alone."""

    def __init__(self, path: Path) -> None:
        """Raises FolderInUseError, or OSError where the folder can't be made."""
        self.path = path.absolute()
        self.path.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.log_folder.mkdir(exist_ok=True)
        self._lock: TextIO = (self.path / "lock").open("a+")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self._lock.seek(0)
            holder = self._lock.read().strip()
            self._lock.close()
            raise FolderInUseError(
                f"the data folder {path} is used by another local cloud (process {holder}). "
                "Stop that one, or choose another folder: make run DATA=.localcloud2, or --data .localcloud2"
            ) from None
        self._lock.truncate(0)
        self._lock.write(str(os.getpid()))
        self._lock.flush()
        (self.path / STATE_FILE).unlink(missing_ok=True)

    @property
    def log_folder(self) -> Path:
        return self.path / "logs"

    def publish(self, state: dict[str, Any]) -> None:
        """Replace state.json as a whole; a reader sees the old or the new one."""
        draft = self.path / (STATE_FILE + ".new")
        draft.write_text(json.dumps(state, indent=1) + "\n", encoding="utf-8")
        draft.replace(self.path / STATE_FILE)

    def close(self) -> None:
        """Nothing runs any more: others may have the folder."""
        (self.path / STATE_FILE).unlink(missing_ok=True)
        self._lock.close()


def read_state(data: Path) -> dict[str, Any] | None:
    """The state of the local cloud that uses `data`; None if none runs, or it is still starting."""
    try:
        state: dict[str, Any] = json.loads((data / STATE_FILE).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    return state
