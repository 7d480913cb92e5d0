"""`includes:` of app.yaml: other files whose handlers and variables become part of it, as gcloud merges them.

Google's own classes do the merging. Finding the files is ours: gcloud has a module for it, the package of the
parsers does not.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from google.appengine.api import appinfo

# What a folder stands for.
_FILE_OF_FOLDER = "include.yaml"


class IncludeError(Exception):
    """A file can't be found. The text is one line, without the name of the file that asked for it."""

    def __init__(self, text: str, included_from: Path) -> None:
        super().__init__(text)
        self.included_from = included_from


def merge_includes(info: Any, file: Path, load: Callable[[Path], Any]) -> list[Path]:
    """Merge into `info`, the AppInfoExternal of `file`, what it includes; the files that were read.

    `load` reads an included file: an AppInclude, or None for an empty file. Raises IncludeError.

    Real service: the includes' handlers come before those of app.yaml, unless they say `position: tail`; a
    file is read once, even if several include it (gcloud app deploy).
    We differ: `builtins:`, which Python 3 doesn't have, is ignored.
    """
    if not info.includes:
        return []
    merged = appinfo.AppInclude()
    read: list[Path] = []
    _collect(info.includes, file, file.parent, load, merged, read)
    appinfo.AppInclude.MergeAppYamlAppInclude(info, merged)
    return read


def _collect(
    names: list[Any],
    included_from: Path,
    base: Path,
    load: Callable[[Path], Any],
    merged: Any,
    read: list[Path],
) -> None:
    """Depth first: a file's own part, then what it includes itself."""
    for name in names:
        path = _find(str(name), included_from, base)
        if path is None:
            raise IncludeError(
                f"{name} is not there; expected a file, or a folder with {_FILE_OF_FOLDER} in it",
                included_from,
            )
        if path in read:
            continue
        read.append(path)
        include = load(path)
        if include is not None:
            appinfo.AppInclude.MergeAppIncludes(merged, include)
            _collect(include.includes or [], path, base, load, merged, read)


def _find(name: str, included_from: Path, base: Path) -> Path | None:
    """Real service: relative to the including file, else to app.yaml, else to the working directory."""
    for folder in (included_from.parent, base, Path.cwd()):
        for path in (folder / name, folder / name / _FILE_OF_FOLDER):
            if path.is_file():
                return Path(os.path.normpath(path.absolute()))
    return None
