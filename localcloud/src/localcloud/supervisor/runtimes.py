"""How a service's runtime differs from App Engine: a line for each difference, at the start."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable
from itertools import islice
from pathlib import Path

from localcloud.configuration import Service
from localcloud.supervisor.file_watch import FileWatch

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


def remarks(services: Iterable[Service]) -> list[str]:
    """What somebody who starts these services should know. What several have in common is one remark."""
    files: dict[str, list[str]] = {}
    for service in services:
        for remark in (_runtime_remark(service), _flexible_remark(service), _bundled_remark(service)):
            if remark is not None:
                files.setdefault(remark, []).append(service.file.name)
    return [f"{', '.join(names)}: {remark}" for remark, names in files.items()]


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


def _flexible_remark(service: Service) -> str | None:
    if not service.is_flexible:
        return None
    return "the flexible environment is not provided: what can be is run as in the standard one"


def _bundled_remark(service: Service) -> str | None:
    # We differ: the bundled services of `app_engine_apis: true` are not provided; a call fails with
    # RPCFailedError, "Attempted RPC call without active security ticket".
    if not service.wants_bundled_services:
        return None
    used: set[str] = set()
    first: Path | None = None
    deployed = FileWatch.over(service.folder, ()).files()
    for file in islice((file for file in deployed if file.suffix == ".py"), _MOST_FILES):
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
