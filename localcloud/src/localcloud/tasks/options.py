"""The command line of the server."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

DESCRIPTION = (
    "A local Cloud Tasks: google.cloud.tasks.v2 over gRPC, pushing tasks to the services of an application. "
    "Commands for a running server: list, pause, resume, purge, run (each has its own --help)."
)
COMMANDS = ("list", "pause", "resume", "purge", "run")


class OneLineParser(argparse.ArgumentParser):
    """Says in one line what is wrong, and ends the program with status 2."""

    def error(self, message: str) -> NoReturn:
        print(f"{self.prog}: {message}. See {self.prog} --help.", file=sys.stderr)
        sys.exit(2)


def parse_options(arguments: Sequence[str]) -> argparse.Namespace:
    """The options of the server."""
    parser = OneLineParser(prog="localcloud.tasks", description=DESCRIPTION)
    parser.add_argument("--queues", type=Path, metavar="FILE", help="the queue.yaml to serve")
    parser.add_argument(
        "--app",
        type=Path,
        action="append",
        default=[],
        metavar="FILE",
        help="an app.yaml whose handlers apply to tasks; may be repeated",
    )
    parser.add_argument(
        "--dispatch",
        type=Path,
        metavar="FILE",
        help="the dispatch.yaml whose rules apply to tasks and cron jobs",
    )
    parser.add_argument("--cron", type=Path, metavar="FILE", help="the cron.yaml whose jobs to run")
    parser.add_argument(
        "--target",
        action="append",
        default=[],
        metavar="[SERVICE=]URL[,URL]",
        help="where tasks go: the instances of a service, or one address for all services; may be repeated",
    )
    parser.add_argument("--port", type=port, default=8123, help="of the gRPC API; 0 picks a free one (8123)")
    parser.add_argument(
        "--http-port",
        type=port,
        default=0,
        help="of the API over HTTP/1.1, counts and more; 0 picks a free one (0)",
    )
    parser.add_argument("--host", default="127.0.0.1", help="the address to listen on (127.0.0.1)")
    storage = parser.add_mutually_exclusive_group()
    storage.add_argument("--data", type=Path, metavar="FILE", help="the SQLite file that keeps the tasks")
    storage.add_argument("--in-memory", action="store_true", help="keep nothing (the default without --data)")
    parser.add_argument("--project", default="local-project", help="the queues' project (local-project)")
    parser.add_argument("--location", default="us-central1", help="the queues' location (us-central1)")
    parser.add_argument("--verbose", action="store_true", help="log successful attempts, too")
    return parser.parse_args(arguments)


def port(text: str) -> int:
    """A TCP port, or 0."""
    if not text.isdigit() or int(text) > 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is not a port. Expected 0 to 65535")
    return int(text)
