"""Which files describe the application, if the command line names a folder or nothing."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from localcloud.routing import DEFAULT_SERVICE

# Files of the application as a whole, by App Engine's own names.
OTHER_FILES = ("queue", "dispatch", "cron", "index")
_SUFFIXES = (".yaml", ".yml")
_RUNTIME = re.compile(r"^[\"']?runtime[\"']?\s*:", re.MULTILINE)
_SERVICE = re.compile(r"^[\"']?(?:service|module)[\"']?\s*:\s*[\"']?([\w-]+)", re.MULTILINE)


class NoApplicationError(Exception):
    """It isn't clear which files of the folder to take. The text is one line."""


def application_files(named: Iterable[Path]) -> list[Path]:
    """The files in `named`, each folder replaced by the files in it. Raises NoApplicationError."""
    return [file for path in named for file in (_files_in(path) if path.is_dir() else [path])]


def _files_in(folder: Path) -> list[Path]:
    """app.yaml first, then the other services, then queue.yaml and the rest. Subfolders are not searched."""
    by_service: dict[str, list[Path]] = {}
    others: list[Path] = []
    for file in sorted(folder.iterdir()):
        if file.suffix not in _SUFFIXES or file.name.startswith(".") or not file.is_file():
            continue
        if file.stem in OTHER_FILES:
            others.append(file)
            continue
        text = file.read_text(encoding="utf-8", errors="replace")
        if _RUNTIME.search(text):
            name = _SERVICE.search(text)
            by_service.setdefault(name[1] if name else DEFAULT_SERVICE, []).append(file)
    if not by_service:
        raise NoApplicationError(
            f"no file in {_shown(folder)} describes a service: expected app.yaml, or name the files"
        )
    services = [_chosen(service, files) for service, files in by_service.items()]
    return sorted(services, key=lambda file: file.stem != "app") + others


def _chosen(service: str, files: list[Path]) -> Path:
    """The service's file; of several (worker.yaml, worker-staging.yaml) the one with the plainest name."""
    for stem in ("app", service):
        for file in files:
            if len(files) == 1 or file.stem == stem:
                return file
    names = ", ".join(file.name for file in files)
    raise NoApplicationError(
        f"{names} in {_shown(files[0].parent)} describe the same service, {service!r}: name the files to run"
    )


def _shown(folder: Path) -> str:
    return "this folder" if folder == Path() else str(folder)
