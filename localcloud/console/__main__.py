"""`python -m localcloud.console`: the console as a process of its own; the supervisor starts it."""

from __future__ import annotations

import argparse
import os
import secrets
import signal
import socket
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

from localcloud.command_line import OneLineParser


def main(arguments: Sequence[str]) -> int:
    """Serve until SIGINT or SIGTERM: 0. A port that is taken: one line, 2."""
    options = _parser().parse_args(arguments)
    signals = {signal.SIGINT, signal.SIGTERM}
    signal.pthread_sigmask(signal.SIG_BLOCK, signals)
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    try:
        if options.listening is None:
            listening = socket.create_server(("127.0.0.1", options.port))
        else:
            listening = socket.socket(fileno=options.listening)
    except OSError as error:
        print(f"localcloud.console: --port {options.port}: {error.strerror}", file=sys.stderr)
        return 2
    # Imported late: a mistake on the command line is told at once.
    from localcloud.console.application import Application
    from localcloud.console.calls import Calls
    from localcloud.console.console import Console
    from localcloud.console.datastore import Datastore
    from localcloud.console.pages import Pages
    from localcloud.console.server import Server
    from localcloud.console.surroundings import Surroundings
    from localcloud.console.tasks import Tasks
    from localcloud.http_guard import HttpGuard

    token = secrets.token_urlsafe(16)
    around = Surroundings(
        options.data,
        options.project,
        options.region,
        options.datastore_http,
        options.tasks_http,
        options.orders,
    )
    console = Console(
        around,
        Datastore(Calls("Datastore", options.datastore)),
        Tasks(Calls("Cloud Tasks", options.tasks), options.tasks_http),
        Pages(token, options.project),
    )
    host, port = listening.getsockname()[:2]
    application = Application(console, HttpGuard(host, port), token)
    server = Server(listening, application.admit, application.answer)
    serving = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.1}, daemon=True)
    serving.start()
    print(f"localcloud.console ready on {host}:{port}", flush=True)
    signal.sigwait(signals)
    server.shutdown()
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
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
