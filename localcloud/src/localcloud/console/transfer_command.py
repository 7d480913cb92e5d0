"""`localcloud export` and `localcloud import`: entities as lines of JSON, from and to a running Datastore."""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

from localcloud.command_line import OneLineParser
from localcloud.supervisor.state import read_state

COMMANDS = ("export", "import")


def main(arguments: Sequence[str]) -> int:
    """Run `export ...` or `import ...`; the exit status: 0, or 1 with one line that says what was wrong."""
    options = _parser().parse_args(arguments)
    state = read_state(options.data) or {}
    address = (
        options.address
        or state.get("datastore", {}).get("address")
        or os.environ.get("DATASTORE_EMULATOR_HOST")
    )
    if not address:
        print(
            f"localcloud {options.command}: no local cloud runs with the data folder {options.data}. "
            "Start it, name its folder with --data, or a Datastore with --address HOST:PORT",
            file=sys.stderr,
        )
        return 1
    project = (
        options.project or state.get("project") or os.environ.get("GOOGLE_CLOUD_PROJECT") or "local-project"
    )
    # Imported late: a mistake on the command line is reported at once.
    from localcloud.console.errors import Problem

    try:
        run = _export if options.command == "export" else _import
        run(options, address, project)
    except (Problem, OSError) as error:
        print(f"localcloud {options.command}: {error}", file=sys.stderr)
        return 1
    return 0


def _export(options: argparse.Namespace, address: str, project: str) -> None:
    from localcloud.console.calls import Calls
    from localcloud.console.datastore import Datastore
    from localcloud.console.keys import Database
    from localcloud.console.queries import View
    from localcloud.console.transfer import export_lines

    where = Database(project, options.database, options.namespace)
    with contextlib.closing(Calls("Datastore", address)) as calls, _output(options.output) as file:
        for kind in options.kind or [""]:
            for piece in export_lines(Datastore(calls), where, View(kind, (), "").query(where)):
                file.write(piece)


def _import(options: argparse.Namespace, address: str, project: str) -> None:
    from localcloud.console.calls import Calls
    from localcloud.console.datastore import Datastore
    from localcloud.console.errors import Problem
    from localcloud.console.keys import Database
    from localcloud.console.transfer import read_lines, write

    where = Database(project, options.database)
    entities = []
    for path in options.files:
        data = sys.stdin.buffer.read() if str(path) == "-" else path.read_bytes()
        try:
            entities += read_lines(data.splitlines(), where)
        except Problem as problem:
            raise Problem(f"{path}: {problem.text}") from None
    with contextlib.closing(Calls("Datastore", address)) as calls:
        write(Datastore(calls), entities)
    print(f"{len(entities):,} entities imported into {project}", file=sys.stderr)


def _output(path: Path | None) -> contextlib.AbstractContextManager[BinaryIO]:
    return contextlib.nullcontext(sys.stdout.buffer) if path is None else path.open("wb")


def _parser() -> argparse.ArgumentParser:
    parser = OneLineParser(prog="localcloud", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    shared = OneLineParser(add_help=False)
    add = shared.add_argument
    add(
        "--data",
        default=Path(".localcloud"),
        type=Path,
        metavar="FOLDER",
        help="the data folder of the local cloud that runs (default %(default)s)",
    )
    add("--address", metavar="HOST:PORT", help="a Datastore (default: that of the local cloud)")
    add("--project", metavar="ID", help="the entities' project (default: that of the local cloud)")
    add("--database", default="", metavar="ID", help="the database (default: the default one)")
    out = commands.add_parser("export", parents=[shared], help="write entities as lines of JSON")
    out.add_argument(
        "--namespace", default="", metavar="NAME", help="the namespace (default: the default one)"
    )
    out.add_argument(
        "--kind", action="append", metavar="NAME", help="only this kind; repeatable (default: all)"
    )
    out.add_argument("-o", "--output", type=Path, metavar="FILE", help="the file (default: standard output)")
    into = commands.add_parser("import", parents=[shared], help="write the entities of such lines")
    into.add_argument("files", nargs="+", type=Path, metavar="FILE", help="files; - is standard input")
    return parser
