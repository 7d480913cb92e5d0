"""What of a service's runtime is not as on App Engine: a line each, at the start."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path

from localcloud.configuration import Service

_PYTHON_3 = re.compile(r"python3\d*")
_PYTHON_2 = ("python", "python27")
_IMPORT = re.compile(r"^[ \t]*(?:from|import)[ \t]+google\.appengine\b[^\n(]*(?:\([^)]*\))?", re.MULTILINE)
# Real service: what Google recommends for each bundled service ("Migrating from bundled services").
_REPLACEMENTS = {
    "blobstore": "google-cloud-storage",
    "db": "google-cloud-ndb",
    "deferred": "google-cloud-tasks",
    "images": "Pillow",
    "mail": "an e-mail service's client",
    "memcache": "redis (Memorystore)",
    "modules": "the variables GAE_SERVICE and GAE_VERSION",
    "ndb": "google-cloud-ndb",
    "search": "a search service's client",
    "taskqueue": "google-cloud-tasks",
    "urlfetch": "requests",
    "users": "the headers X-AppEngine-User-*",
}
_NAME = re.compile(rf"\b({'|'.join(_REPLACEMENTS)})\b")
_MOST_FILES = 2000
_SKIPPED = frozenset({"node_modules", "site-packages", "__pycache__"})


def remarks(service: Service) -> list[str]:
    """What a person should know who starts the service."""
    found = [
        _runtime_remark(service),
        _flexible_remark(service) if service.is_flexible else None,
        _bundled_remark(service) if service.wants_bundled_services else None,
    ]
    return [f"{service.file.name}: {remark}" for remark in found if remark is not None]


def _runtime_remark(service: Service) -> str | None:
    here = f"Python {sys.version_info.major}.{sys.version_info.minor}"
    runtime = service.runtime
    if runtime in _PYTHON_2:
        # The flexible environment's `python` is Python 3.
        return None if service.is_flexible else f"runtime {runtime} is Python 2; here it is run by {here}"
    if _PYTHON_3.fullmatch(runtime):
        return None
    return (
        f"runtime {runtime} is not Python: the entrypoint is run with what this machine has installed, "
        "and nothing is built first"
    )


def _flexible_remark(service: Service) -> str:
    return f"the flexible environment is not provided: {service.name} is run as in the standard one"


def _bundled_remark(service: Service) -> str | None:
    # We differ: the bundled services of `app_engine_apis: true` are not provided; a call fails with
    # RPCFailedError, "Attempted RPC call without active security ticket".
    used: set[str] = set()
    first: Path | None = None
    for file in _python_files(service.folder):
        try:
            text = file.read_text(encoding="utf-8", errors="replace")
        except OSError:
            continue
        for statement in _IMPORT.findall(text):
            first = first or file
            used.update(_NAME.findall(statement))
    if first is None:
        return None
    where = first.relative_to(service.folder)
    instead = "; ".join(f"for {name}: {_REPLACEMENTS[name]}" for name in sorted(used))
    return (
        f"app_engine_apis: the bundled services (google.appengine, imported by {where}) are not provided "
        "here, their calls fail" + (f". Use instead {instead}" if instead else "")
    )


def _python_files(folder: Path) -> Iterator[Path]:
    """The program's own files, as far as there are not very many."""
    count = 0
    for parent, folders, names in os.walk(folder):
        if "pyvenv.cfg" in names:
            folders.clear()
            continue
        folders[:] = sorted(name for name in folders if name not in _SKIPPED and not name.startswith("."))
        for name in sorted(names):
            if name.endswith(".py"):
                count += 1
                if count > _MOST_FILES:
                    return
                yield Path(parent) / name
