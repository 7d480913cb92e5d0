"""Where an instance listens: at a loopback address that no web page can guess.

A program behind App Engine's front end believes its X-AppEngine-* headers, so nobody else may reach it. A
page that is open on this machine can send requests to every port of 127.0.0.1, and with a name of its own
that leads there (DNS rebinding) even with headers of its choice. Linux takes all of 127.0.0.0/8 for itself:
there an address is drawn for each run. The front end and the dispatcher know it; a page would have to try
16 million.

That works where the entrypoint shows the address, or its server takes it from a variable. A program that
chooses an address by itself is asked at 127.0.0.1.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass

from localcloud.supervisor.ports import is_free

LOOPBACK = "127.0.0.1"
_SOME_ADDRESS = "127.1.2.3"
# `HOST:` before the port, as gunicorn, waitress, Caddy and Go programs take it: every interface, or loopback.
_BEFORE_PORT = re.compile(
    r"(?<![\w.\]:-])(?:\*|0\.0\.0\.0|127\.0\.0\.1|localhost|\[::1?\])?:(?=\$\{?PORT\b)", re.IGNORECASE
)
# Every interface as an option of its own: `--host 0.0.0.0`.
_EVERY_INTERFACE = re.compile(r"(?<![\w.])0\.0\.0\.0(?![\w.])")


@dataclass(frozen=True, slots=True)
class _Program:
    """A web server that takes its address from the environment if no option says it."""

    command: re.Pattern[str]
    option: re.Pattern[str]
    variable: str
    value: str


_PROGRAMS = (
    # Without --bind gunicorn listens on every interface at $PORT.
    _Program(
        command=re.compile(r"(?<![\w.-])gunicorn(?=\s)"),
        option=re.compile(r"\s(?:-b|--bind)"),
        variable="GUNICORN_CMD_ARGS",
        value="{given} --bind {host}:{port}",
    ),
    _Program(
        command=re.compile(r"(?<![\w.-])uvicorn(?=\s)"),
        option=re.compile(r"\s--(?:host|uds|fd)\b"),
        variable="UVICORN_HOST",
        value="{host}",
    ),
    _Program(
        command=re.compile(r"(?<![\w.-])flask\s(?:.*\s)?run\b"),
        option=re.compile(r"\s(?:-h|--host)"),
        variable="FLASK_RUN_HOST",
        value="{host}",
    ),
)


@dataclass(frozen=True, slots=True)
class Listening:
    """An entrypoint, changed so that its program listens on `host`, and the variables that help with it."""

    host: str
    entrypoint: str
    _program: _Program | None = None

    def variables(self, environment: Mapping[str, str], port: int) -> dict[str, str]:
        """What to set in `environment`, that of an instance at `port`."""
        if self._program is None:
            return {}
        name = self._program.variable
        value = self._program.value.format(given=environment.get(name, ""), host=self.host, port=port)
        return {name: value.strip()}


def listening(entrypoint: str, address: str) -> Listening:
    """How the program of `entrypoint` is made to listen on `address`. If it can't be made to, its host is
    127.0.0.1: there every program answers that listens on loopback or on every interface.

    We differ: App Engine's instances are out of reach but for its front end. Here an entrypoint that would
    listen on every interface listens on loopback; one that does so by itself stays in reach.
    """
    changed, count = _BEFORE_PORT.subn(f"{address}:", entrypoint)
    changed, more = _EVERY_INTERFACE.subn(address, changed)
    if count or more:
        return Listening(address, changed)
    for program in _PROGRAMS:
        if program.command.search(entrypoint):
            if program.option.search(entrypoint):
                break
            return Listening(address, entrypoint, program)
    return Listening(LOOPBACK, entrypoint)


def is_told_where(entrypoint: str) -> bool:
    """Does the program of `entrypoint` listen where it should?"""
    return listening(entrypoint, _SOME_ADDRESS).host == _SOME_ADDRESS


def draw_address() -> str:
    """An address of this machine alone that nobody can guess; 127.0.0.1 where the system has no other.

    We differ: on macOS instances listen on 127.0.0.1, so a web page that is open on the same machine may find
    their ports, and send them what only App Engine's front end may send.
    """
    drawn = ".".join(["127", *(str(1 + secrets.randbelow(254)) for _ in range(3))])
    return drawn if is_free(drawn, 0) else LOOPBACK
