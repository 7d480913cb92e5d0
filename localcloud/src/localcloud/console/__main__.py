"""`python -m localcloud.console`: the console as a process of its own; the supervisor starts it."""

from __future__ import annotations

import argparse
import os
import signal
import socket
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

from localcloud.command_line import OneLineParser
from localcloud.supervisor.orders import give

_LOOK_EVERY_SECONDS = 5.0


def main(arguments: Sequence[str]) -> int:
    """Serve until SIGINT or SIGTERM: 0. A port that is taken: one line, 2."""
    options = _parser().parse_args(arguments)
    stopping = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopping.set())
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    try:
        if options.listening is None:
            listening = socket.create_server(("127.0.0.1", options.port))
        else:
            listening = socket.socket(fileno=options.listening)
    except OSError as error:
        print(f"localcloud.console: --port {options.port}: {error.strerror}", file=sys.stderr)
        return 2
    # Imported late: a mistake on the command line is reported at once.
    from localcloud.console.serving import ConsoleServer
    from localcloud.console.surroundings import Surroundings

    around = Surroundings(
        options.data,
        options.project,
        options.region,
        options.datastore_http,
        options.tasks_http,
        options.orders,
    )
    with ConsoleServer(listening, around, options.datastore, options.tasks) as server:
        print(f"localcloud.console ready on {server.address}", flush=True)
        while not stopping.wait(min(_LOOK_EVERY_SECONDS, options.rest_seconds)):
            if options.orders is not None and server.idle_seconds > options.rest_seconds:
                give(options.orders, "rest", "console")  # the supervisor stops it, until somebody comes
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = OneLineParser(prog="python -m localcloud.console", description=__doc__)
    add = parser.add_argument
    add("--datastore", required=True, metavar="HOST:PORT", help="Datastore's gRPC address")
    add("--tasks", required=True, metavar="HOST:PORT", help="Cloud Tasks' gRPC address")
    add("--datastore-http", metavar="HOST:PORT", help="the side port of localcloud's Datastore")
    add("--tasks-http", metavar="HOST:PORT", help="the side port of localcloud's Cloud Tasks")
    add("--port", default=8000, type=int, help="port to listen on, 0 for a free one (default %(default)s)")
    add("--project", default="local-project", metavar="ID", help="project id (default %(default)s)")
    add("--region", default="us-central1", metavar="NAME", help="region of the queues (default %(default)s)")
    add(
        "--data",
        default=Path(".localcloud"),
        type=Path,
        metavar="FOLDER",
        help="the local cloud's data folder",
    )
    add("--listening", type=int, metavar="N", help="an inherited socket that listens (instead of --port)")
    add("--orders", type=int, metavar="N", help="an inherited pipe to the supervisor")
    add(
        "--rest-seconds",
        default=900.0,
        type=float,
        metavar="SECONDS",
        help="after so long without a visitor it takes no memory any more (default %(default)g)",
    )
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
