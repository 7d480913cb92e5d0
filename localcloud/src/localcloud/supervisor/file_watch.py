"""Notices that a service's files have changed, by looking at their times once a second."""

from __future__ import annotations

import fnmatch
import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

_SUFFIXES = frozenset({".py", ".yaml", ".yml", ".html", ".htm", ".jinja", ".jinja2", ".j2"})
_NEVER = frozenset({"__pycache__", "node_modules", "site-packages"})


@dataclass(slots=True)
class FileWatch:
    """The files under one folder that a deployed service would hold, and their times of change."""

    folder: Path
    # Folders, absolute, that are not looked into: what the front end serves by itself, and the data folder.
    skipped: frozenset[Path] = frozenset()
    _ignored: tuple[str, ...] = ()
    _seen: dict[str, int] = field(default_factory=dict)

    @classmethod
    def over(cls, folder: Path, skipped: Iterable[Path]) -> FileWatch:
        """A watch that has seen the present state. What .gcloudignore leaves out is left out here."""
        watch = cls(folder, frozenset(skipped), _ignored_names(folder / ".gcloudignore"))
        watch._seen = watch._look()
        return watch

    def files(self) -> list[Path]:
        """All that were seen, sorted."""
        return [Path(path) for path in sorted(self._seen)]

    def changed(self) -> list[Path]:
        """What was written, added or removed since the last call."""
        now = self._look()
        different = [path for path in now.keys() | self._seen.keys() if now.get(path) != self._seen.get(path)]
        self._seen = now
        return sorted(Path(path) for path in different)

    def _look(self) -> dict[str, int]:
        times: dict[str, int] = {}
        folders = [str(self.folder)]
        skipped = {str(path) for path in self.skipped}
        while folders:
            try:
                entries = list(os.scandir(folders.pop()))
            except OSError:
                continue  # removed while we looked
            for entry in entries:
                if entry.name.startswith(".") or entry.name in _NEVER or self._is_ignored(entry.name):
                    continue
                if entry.is_dir(follow_symlinks=False):
                    if entry.path not in skipped:
                        folders.append(entry.path)
                elif os.path.splitext(entry.name)[1] in _SUFFIXES:  # noqa: PTH122 - a str is enough, each second
                    try:
                        times[entry.path] = entry.stat().st_mtime_ns
                    except OSError:
                        continue
        return times

    def _is_ignored(self, name: str) -> bool:
        return any(fnmatch.fnmatchcase(name, pattern) for pattern in self._ignored)


def _ignored_names(file: Path) -> tuple[str, ...]:
    """Plain names and patterns of .gcloudignore (`tests/`, `*.md`); paths and negations are left out."""
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except OSError:
        return ()
    names = (line.strip().removeprefix("**/").strip("/") for line in lines)
    return tuple(name for name in names if name and not name.startswith(("#", "!")) and "/" not in name)
