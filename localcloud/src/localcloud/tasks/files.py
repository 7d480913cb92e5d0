"""Reads the YAML files in a short-lived child process: the server never loads Google's parsers."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from localcloud.cron.job import Job, jobs
from localcloud.routing import DispatchRule
from localcloud.tasks.bad_start import BadStart
from localcloud.tasks.handlers import ServiceRules, service_rules
from localcloud.tasks.queue_config import QueueConfig
from localcloud.tasks.queue_file import queue_configs

PARSER_MODULE = "localcloud.tasks.parse_files"
PARSER_SECONDS = 60
PACKAGE_ROOT = Path(__file__).parents[2]


@dataclass(frozen=True, slots=True)
class Files:
    """What the files say: the queues by short name, the services by name, dispatch rules, cron jobs."""

    queues: Mapping[str, QueueConfig] = field(default_factory=dict)
    services: Mapping[str, ServiceRules] = field(default_factory=dict)
    dispatch: Sequence[DispatchRule] = ()
    cron: Sequence[Job] = ()


class Reading:
    """Files that are being read, while the caller does something else until it wants the `result`."""

    def __init__(
        self,
        queues: Path | None,
        apps: Sequence[Path] = (),
        dispatch: Path | None = None,
        cron: Path | None = None,
    ) -> None:
        """Begin. Raises BadStart for a file that is not there."""
        self._queues = queues
        arguments: list[str] = []
        named = [("--queues", queues), ("--dispatch", dispatch), ("--cron", cron)]
        for option, path in [*named, *(("--app", app) for app in apps)]:
            if path is not None:
                _check(path)
                arguments += [option, str(path)]
        self._parser = _start_parser(arguments) if arguments else None

    def result(self) -> Files:
        """What the files say. Raises BadStart, naming file, line and key."""
        if self._parser is None:
            return Files()
        output, complaint = self._parser.communicate(timeout=PARSER_SECONDS)
        if self._parser.returncode != 0:
            last = (complaint.strip().splitlines() or ["no message"])[-1]
            raise BadStart(f"Google's YAML parser failed: {last}. Is appengine-python-standard installed?")
        found: dict[str, Any] = json.loads(output)
        if "error" in found:
            raise BadStart(found["error"])
        return Files(
            queue_configs(found["queues"], str(self._queues)),
            service_rules(found["services"]),
            [DispatchRule(**rule) for rule in found["dispatch"]],
            jobs(found["cron"]),
        )


def read_files(
    queues: Path | None,
    apps: Sequence[Path] = (),
    dispatch: Path | None = None,
    cron: Path | None = None,
) -> Files:
    """What these files say. Raises BadStart."""
    return Reading(queues, apps, dispatch, cron).result()


def _check(path: Path) -> None:
    try:
        path.stat()
    except OSError as error:
        raise BadStart(f"{path}: cannot read it: {(error.strerror or str(error)).lower()}") from error


def _start_parser(arguments: Sequence[str]) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", PARSER_MODULE, *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        encoding="utf-8",
        env={**os.environ, "PYTHONPATH": str(PACKAGE_ROOT)},
    )
