"""The command line of `python -m localcloud`."""

from __future__ import annotations

import argparse
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from localcloud.command_line import OneLineParser

_PROJECT = re.compile(r"(?:[a-z][a-z0-9.-]*:)?[a-z][a-z0-9-]{4,28}[a-z0-9]")
_TTL = re.compile(r"[^.\s]+\.[^\s]+")

_DESCRIPTION = """\
Run an App Engine application on this machine: its services behind App Engine's front end, Cloud Tasks and
Datastore, with the real wire protocols. Nothing but Python packages is needed."""

_EPILOG = """\
If DATASTORE_EMULATOR_HOST (or CLOUD_TASKS_EMULATOR_HOST) is set, that server is used and none is started.
Exit status: 0 after Ctrl-C or SIGTERM; 1: a service can't be started; 2: a file or an option is wrong."""


@dataclass(frozen=True, slots=True)
class Options:
    """What was asked for, checked."""

    files: tuple[Path, ...]
    host: str = "127.0.0.1"
    port: int = 8080
    data: Path = Path(".localcloud")
    project: str = "local-project"
    region: str = "us-central1"
    instances: Mapping[str, int] = field(default_factory=dict)
    datastore_port: int = 0
    tasks_port: int = 0
    console_port: int = 0
    console_rest_seconds: float = 900.0
    reloads: bool = True
    ttl: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    transaction_idle_seconds: float | None = None
    faults: Path | None = None

    @property
    def allows_any_host(self) -> bool:
        """With --host given, other machines may come, by whatever name they know this one."""
        return self.host not in ("127.0.0.1", "localhost", "::1")


def parse(arguments: Sequence[str]) -> Options:
    """The options. Exits with status 2 and one line for what can't be."""
    parser = OneLineParser(
        prog="python -m localcloud",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "files",
        nargs="*",
        default=[Path()],
        type=Path,
        metavar="FILE.yaml",
        help="one file per service (app.yaml, worker.yaml), queue.yaml, and if there are any dispatch.yaml, "
        "cron.yaml and index.yaml, in any order; an index.yaml beside the first service's file is taken by "
        "itself. A folder stands for all of these in it. Default: this folder",
    )
    add = parser.add_argument
    add(
        "--host",
        default="127.0.0.1",
        metavar="ADDRESS",
        help="where the front end listens (default %(default)s)",
    )
    add(
        "--port",
        default=8080,
        type=_port,
        metavar="N",
        help="the front end's port, 0 for a free one (default %(default)s)",
    )
    add(
        "--data",
        default=Path(".localcloud"),
        type=Path,
        metavar="FOLDER",
        help="databases and logs; kept from run to run (default %(default)s)",
    )
    add(
        "--project",
        default="local-project",
        type=_project,
        metavar="ID",
        help="project id (default %(default)s)",
    )
    add("--region", default="us-central1", metavar="NAME", help="region of the queues (default %(default)s)")
    add(
        "--instances",
        action="append",
        default=[],
        type=_instances,
        metavar="SERVICE=N",
        help="how many processes serve a service, 1 to 50 (default 1 each); repeatable",
    )
    add(
        "--datastore-port",
        default=0,
        type=_port,
        metavar="N",
        help="Datastore's gRPC port (default: a free one)",
    )
    add(
        "--tasks-port",
        default=0,
        type=_port,
        metavar="N",
        help="Cloud Tasks' gRPC port (default: a free one)",
    )
    add(
        "--console-port",
        default=0,
        type=_port,
        metavar="N",
        help="the console's port, where one looks at entities, tasks and logs (default: a free one)",
    )
    add(
        "--console-rest-seconds",
        default=900.0,
        type=_seconds,
        metavar="SECONDS",
        help="after so long without a visitor the console takes no memory (default %(default)g)",
    )
    add("--no-reload", action="store_true", help="do not restart a service when its files change")
    add(
        "--ttl",
        action="append",
        default=[],
        type=_ttl,
        metavar="KIND.PROPERTY",
        help="delete entities of KIND some time after the time in PROPERTY (default: none); repeatable",
    )
    add(
        "--env",
        action="append",
        default=[],
        type=_variable,
        metavar="NAME=VALUE",
        help="an environment variable for every service, before what its file says; repeatable",
    )
    add(
        "--transaction-idle-seconds",
        default=None,
        type=_seconds,
        metavar="SECONDS",
        help="how long Datastore keeps the locks of an idle transaction (default 60, as in production)",
    )
    add(
        "--faults",
        default=None,
        type=Path,
        metavar="FILE.json",
        help="disturb Datastore and the deliveries as this file says (docs/frontend.md); default: nothing",
    )
    given = parser.parse_args(arguments)
    return Options(
        files=tuple(given.files),
        host=given.host,
        port=given.port,
        data=given.data,
        project=given.project,
        region=given.region,
        instances=dict(given.instances),
        datastore_port=given.datastore_port,
        tasks_port=given.tasks_port,
        console_port=given.console_port,
        console_rest_seconds=given.console_rest_seconds,
        reloads=not given.no_reload,
        ttl=tuple(given.ttl),
        environment=dict(given.env),
        transaction_idle_seconds=given.transaction_idle_seconds,
        faults=given.faults,
    )


def _port(text: str) -> int:
    if not text.isdecimal() or int(text) > 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is not a port; expected a whole number from 0 to 65535")
    return int(text)


def _seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < 1e6:
        raise argparse.ArgumentTypeError(f"{text!r}: expected a number of seconds above 0, for example 5")
    return value


def _project(text: str) -> str:
    if not _PROJECT.fullmatch(text):
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a project id; expected 6 to 30 of a-z, 0-9 and -, starting with a letter"
        )
    return text


def _pair(text: str, what: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise argparse.ArgumentTypeError(f"{text!r}: expected {what}")
    return name, value


def _instances(text: str) -> tuple[str, int]:
    name, count = _pair(text, "SERVICE=N, for example worker=3")
    if not count.isdecimal() or not 1 <= int(count) <= 50:
        raise argparse.ArgumentTypeError(f"{text!r}: expected a whole number from 1 to 50 after the =")
    return name, int(count)


def _variable(text: str) -> tuple[str, str]:
    return _pair(text, "NAME=VALUE")


def _ttl(text: str) -> str:
    if not _TTL.fullmatch(text):
        raise argparse.ArgumentTypeError(
            f"{text!r}: expected KIND.PROPERTY, for example TaskRecord.expire_at"
        )
    return text
