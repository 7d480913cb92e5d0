"""`python -m localcloud.frontend`: the front end as a process of its own; the supervisor starts it."""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlsplit

import uvloop

from localcloud import routing
from localcloud.command_line import OneLineParser
from localcloud.configuration import ConfigurationError, Service, load_dispatch, load_service
from localcloud.frontend.balancing import Balancer
from localcloud.frontend.connections import Connections, most_connections
from localcloud.frontend.gateway import Gateway
from localcloud.frontend.headers import RequestHeaders
from localcloud.frontend.identity import Sessions, load_secret
from localcloud.frontend.server import Server
from localcloud.frontend.upstream import Instance

# Real service: the time limit of a request under automatic scaling. Basic and manual scaling: 24 hours.
_AUTOMATIC_SECONDS = 600.0
_MANUAL_SECONDS = 24 * 3600.0
# The key that signs the cookie is in this file of the data folder.
KEY_FILE = "login-key"


def main(arguments: Sequence[str]) -> int:
    """Serve until SIGINT or SIGTERM: 0. Anything wrong at the start: one line, 2."""
    options = _parser().parse_args(arguments)
    try:
        services = [load_service(file) for file in options.app]
        routes = _routes(options)
        targets = dict(options.target)
        missing = [service.name for service in services if service.name not in targets]
        if missing:
            raise ConfigurationError(f"--target {missing[0]}=URL is missing")
        options.data.mkdir(parents=True, exist_ok=True)
        balancers = {
            service.name: Balancer(
                targets[service.name], options.pending_seconds, options.answer_seconds or _limit(service)
            )
            for service in services
        }
        hostname = "localhost" if options.host in ("127.0.0.1", "::1") else options.host
        gateway = Gateway(
            routes=routes,
            folders={service.name: service.folder for service in services},
            balancers=balancers,
            sessions=Sessions(load_secret(options.data / KEY_FILE)),
            headers=RequestHeaders(f"{hostname}:{options.port}"),
            log_folder=options.data / "logs",
            allows_any_host=options.any_host,
        )
        uvloop.run(_serve(options, gateway))
    except ConfigurationError as error:
        print(f"localcloud.frontend: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        where = f"{options.host}:{options.port}"
        print(f"localcloud.frontend: can't listen on {where}: {error.strerror}", file=sys.stderr)
        return 2
    return 0


async def _serve(options: argparse.Namespace, gateway: Gateway) -> None:
    loop = asyncio.get_running_loop()
    stopping = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopping.set)
    loop.add_signal_handler(signal.SIGHUP, _reread, options, gateway)
    server = Server(gateway.handle, Connections(most_connections()))
    port = await server.start(options.host, options.port)
    print(f"localcloud.frontend ready on {options.host}:{port}", flush=True)
    await stopping.wait()
    await server.stop(grace_seconds=1.5)
    for balancer in gateway.balancers.values():
        balancer.close()


def _reread(options: argparse.Namespace, gateway: Gateway) -> None:
    """The YAML files have changed; a mistake in them leaves everything as it was."""
    try:
        gateway.routes = _routes(options)
    except ConfigurationError as error:
        print(f"localcloud.frontend: {error}", file=sys.stderr, flush=True)


def _routes(options: argparse.Namespace) -> routing.Routes:
    rules = load_dispatch(options.dispatch) if options.dispatch else []
    try:
        return routing.routes((load_service(file).routes for file in options.app), rules)
    except ValueError as error:
        raise ConfigurationError(f"{options.dispatch}: {error}") from error


def _limit(service: Service) -> float:
    return _MANUAL_SECONDS if service.first_request == "/_ah/start" else _AUTOMATIC_SECONDS


def _target(text: str) -> tuple[str, list[Instance]]:
    name, equals, urls = text.partition("=")
    parts = [urlsplit(url) for url in urls.split(",")]
    if not equals or not all(part.hostname and part.port for part in parts):
        raise argparse.ArgumentTypeError(f"{text!r}: expected SERVICE=http://HOST:PORT[,http://HOST:PORT]")
    return name, [Instance(part.hostname or "", part.port or 0) for part in parts]


def _parser() -> argparse.ArgumentParser:
    parser = OneLineParser(prog="python -m localcloud.frontend", description=__doc__)
    add = parser.add_argument
    add("--app", action="append", required=True, type=Path, metavar="FILE.yaml", help="one per service")
    add(
        "--target",
        action="append",
        required=True,
        type=_target,
        metavar="SERVICE=URL[,URL]",
        help="where a service's instances listen",
    )
    add("--dispatch", type=Path, metavar="FILE.yaml", help="dispatch.yaml (default: none)")
    add("--host", default="127.0.0.1", help="address to listen on (default %(default)s)")
    add("--port", default=8080, type=int, help="port to listen on, 0 for a free one (default %(default)s)")
    add("--data", default=Path(".localcloud"), type=Path, help="folder of the secret and the logs")
    add("--any-host", action="store_true", help="answer to any Host header (default: this machine's names)")
    add(
        "--pending-seconds",
        default=10.0,
        type=float,
        help="how long a request waits for an instance (default %(default)s)",
    )
    add(
        "--answer-seconds",
        default=None,
        type=float,
        help="how long an answer may take (default: 600, or 86400 for manual and basic scaling)",
    )
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
