"""`python -m localcloud.faults`: the proxy as a process of its own, led by a file or over HTTP.

POST /faults {"datastore": [rule, ...], "tasks": [rule, ...]} replaces the rules of the servers it names,
GET /faults shows what has happened so far, DELETE /faults removes all rules.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from localcloud.command_line import OneLineParser
from localcloud.faults.proxy import Proxy
from localcloud.faults.script import Script, ScriptError
from localcloud.frontend.messages import Request, Response, text_response
from localcloud.frontend.server import Server
from localcloud.http_guard import FORBIDDEN, Body, HttpGuard


class SidePort:
    """The HTTP side: reads and writes the scripts."""

    def __init__(self, scripts: dict[str, Script], guard: HttpGuard) -> None:
        self._scripts = scripts
        self.guard = guard

    async def handle(self, request: Request) -> Response:
        def header(name: str) -> str | None:
            value = request.header(name.encode())
            return None if value is None else value.decode("latin-1")

        body = Body.API if request.method == b"POST" else Body.ANY
        refusal = self.guard.refusal(request.method.decode("latin-1"), header, body)
        if refusal is not None:
            return text_response(FORBIDDEN, refusal)
        if request.target != b"/faults":
            return text_response(404, "There is only /faults.")
        if request.method == b"POST":
            try:
                apply_faults(self._scripts, json.loads(request.body))
            except (ValueError, ScriptError) as error:
                return text_response(400, f"{error}")
        elif request.method == b"DELETE":
            for script in self._scripts.values():
                script.replace([])
        report = {name: script.report() for name, script in self._scripts.items()}
        return Response(200, [(b"Content-Type", b"application/json")], json.dumps(report).encode())


def apply_faults(scripts: dict[str, Script], wanted: Any) -> None:
    """Replace the rules of the servers that `wanted` names. Raises ScriptError and changes nothing."""
    if not isinstance(wanted, dict):
        raise ScriptError('expected an object like {"datastore": [{"fault": "response_lost"}]}')
    for name, rules in wanted.items():
        if name == "deliveries":  # the dispatcher's own; not for this process
            continue
        if name not in scripts:
            raise ScriptError(f"unknown server {name!r}; expected {', '.join(scripts)} or deliveries")
        if not isinstance(rules, list):
            raise ScriptError(f"{name}: expected a list of rules")
        Script().replace(rules)  # checks all before any is taken over
    for name, rules in wanted.items():
        if name in scripts:
            scripts[name].replace(rules)


def main(arguments: Sequence[str]) -> int:
    """Serve until SIGINT or SIGTERM: 0. Anything wrong at the start: one line, 2."""
    options = _parser().parse_args(arguments)
    scripts = {"datastore": Script(), "tasks": Script()}
    try:
        if options.script:
            apply_faults(scripts, json.loads(options.script.read_text(encoding="utf-8")))
    except (OSError, ValueError) as error:
        print(f"localcloud.faults: {options.script}: {error}", file=sys.stderr)
        return 2
    proxies: list[tuple[str, Proxy, int]] = []
    if options.datastore:
        proxies.append(("--port", Proxy(options.datastore, scripts["datastore"]), options.port))
    if options.tasks:
        proxies.append(("--tasks-port", Proxy(options.tasks, scripts["tasks"]), options.tasks_port))
    if not proxies:
        print("localcloud.faults: name a server: --datastore HOST:PORT or --tasks HOST:PORT", file=sys.stderr)
        return 2
    side_port = SidePort(scripts, HttpGuard(options.host, options.http_port))
    return asyncio.run(_serve(options, proxies, side_port))


async def _serve(
    options: argparse.Namespace, proxies: list[tuple[str, Proxy, int]], side_port: SidePort
) -> int:
    stopping = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    server = Server(side_port.handle)
    addresses = []
    wished = ""
    try:
        for option, proxy, port in proxies:
            wished = f"{option} {port}"
            addresses.append(f"{options.host}:{await proxy.start(options.host, port)}")
        wished = f"--http-port {options.http_port}"
        side_port.guard.port = await server.start(options.host, options.http_port)
        addresses.append(f"http {options.host}:{side_port.guard.port}")
    except OSError as error:
        print(f"localcloud.faults: can't listen, {wished}: {error}", file=sys.stderr)
        return 2
    print(f"localcloud.faults ready on {' '.join(addresses)}", flush=True)
    await stopping.wait()
    for _, proxy, _ in proxies:
        await proxy.stop()
    await server.stop(grace_seconds=0.5)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = OneLineParser(
        prog="python -m localcloud.faults",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--datastore", metavar="HOST:PORT", help="the Datastore to stand before")
    add(
        "--port",
        type=int,
        default=0,
        help="port for Datastore's clients, 0 for a free one (default %(default)s)",
    )
    add("--tasks", metavar="HOST:PORT", help="the Cloud Tasks to stand before")
    add("--tasks-port", type=int, default=0, help="port for Cloud Tasks' clients (default: a free one)")
    add("--http-port", type=int, default=0, help="port of /faults (default: a free one)")
    add("--host", default="127.0.0.1", help="address to listen on (default %(default)s)")
    add("--script", type=Path, metavar="FILE.json", help="the rules to begin with (default: none)")
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
