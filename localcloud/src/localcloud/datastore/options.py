"""The command line of the server."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from localcloud.command_line import OneLineParser

DESCRIPTION = "A local Datastore, over gRPC and HTTP, for anything that honours DATASTORE_EMULATOR_HOST."
CONCURRENCY = ("pessimistic", "optimistic", "optimistic-with-entity-groups")


def parse_options(arguments: Sequence[str]) -> argparse.Namespace:
    """The options of the server; ends the program with status 2 and one line if they are wrong."""
    parser = OneLineParser(prog="python -m localcloud.datastore", description=DESCRIPTION)
    parser.add_argument("--host", default="127.0.0.1", help="the address to listen on (127.0.0.1)")
    parser.add_argument("--port", type=port, default=8081, help="of the API; 0 picks a free one (8081)")
    parser.add_argument(
        "--http-port",
        type=port,
        default=None,
        metavar="N",
        help="the API over HTTP/1.1, health check, counts and reset; 0 picks a free port (off)",
    )
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--data", type=Path, metavar="FILE", help="keep everything in this SQLite file")
    where.add_argument("--in-memory", action="store_true", help="keep nothing")
    parser.add_argument(
        "--concurrency",
        choices=CONCURRENCY,
        default=CONCURRENCY[0],
        help="how transactions on the same entities get along, as the database's setting (pessimistic)",
    )
    parser.add_argument(
        "--transaction-idle-seconds",
        type=seconds,
        default=60.0,
        metavar="S",
        help="a transaction that is not used for this long ends (60)",
    )
    parser.add_argument(
        "--transaction-seconds",
        type=seconds,
        default=270.0,
        metavar="S",
        help="a transaction lives for at most so long (270)",
    )
    parser.add_argument(
        "--ttl",
        type=ttl,
        action="append",
        default=[],
        metavar="KIND.PROPERTY",
        help="delete entities of a kind once the time in a property is past; may be repeated",
    )
    parser.add_argument(
        "--require-indexes",
        type=Path,
        metavar="FILE",
        help="refuse queries that need a composite index which this index.yaml does not declare",
    )
    return parser.parse_args(arguments)


def port(text: str) -> int:
    """A TCP port, or 0."""
    if not (text.isascii() and text.isdigit()) or int(text) > 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is not a port. Expected 0 to 65535")
    return int(text)


def seconds(text: str) -> float:
    """A number of seconds above 0."""
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < 1e6:
        raise argparse.ArgumentTypeError(f"{text!r} is not a time. Expected seconds, more than 0")
    return value


def ttl(text: str) -> tuple[str, str]:
    """A kind and a property."""
    kind, dot, name = text.rpartition(".")
    if not (kind and dot and name):
        raise argparse.ArgumentTypeError(f"{text!r} is not a TTL policy. Expected KIND.PROPERTY")
    return kind, name
