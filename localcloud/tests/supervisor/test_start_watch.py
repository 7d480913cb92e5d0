"""A start that takes long says why."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest
from localcloud.configuration import Service
from localcloud.fixed_port import fixed_port
from localcloud.routing import ServiceRoutes
from localcloud.supervisor.process import Process
from localcloud.supervisor.sockets import Listener, holder_of, listeners_of_session
from localcloud.supervisor.start_watch import Starting, StartWatch
from localcloud.testing.waiting import wait_until

from tests.supervisor.conftest import Run

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells who listens where")

# Listens on the port that its argument names, whatever PORT says.
ELSEWHERE = """\
import http.server, sys
server = http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), http.server.SimpleHTTPRequestHandler)
server.serve_forever()
"""


@dataclass
class Unready:
    """A process that is there and never becomes ready, as far as the watch looks at one."""

    command: SimpleNamespace
    log: SimpleNamespace
    pid: int | None
    is_ready: bool = False


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def test_listening_sockets_are_found_with_their_holder() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as four,
        socket.create_server(("::1", 0), family=socket.AF_INET6) as six,
    ):
        ports = [one.getsockname()[1] for one in (four, six)]
        found = listeners_of_session(os.getsid(0))
        assert {Listener("127.0.0.1", ports[0]), Listener("::1", ports[1])} <= found
        assert [holder_of(port) for port in ports] == [os.getpid()] * 2
    assert Listener("127.0.0.1", ports[0]) not in listeners_of_session(os.getsid(0))


def test_a_program_that_ignores_its_port_is_told_where_it_listens_and_what_to_write(
    folder: Path, run: Callable[..., Run]
) -> None:
    port = free_port()
    (folder / "main.py").write_text(ELSEWHERE)
    (folder / "app.yaml").write_text(f"runtime: python313\nentrypoint: {sys.executable} main.py {port}\n")
    started = run("app.yaml")
    started.wait_for(
        f"default listens on 127.0.0.1:{port} but its requests come to the port in the variable PORT"
    )
    started.wait_for(f"Write in app.yaml: entrypoint: {sys.executable} main.py $PORT")


def test_a_program_that_has_taken_a_port_is_found_by_it(tmp_path: Path) -> None:
    port = free_port()
    service = Service("shop", tmp_path / "app.yaml", ServiceRoutes("shop"), f"exec program {port}")
    with subprocess.Popen(
        [sys.executable, "-c", ELSEWHERE, str(port)], start_new_session=True, stderr=subprocess.DEVNULL
    ) as program:
        command, log = SimpleNamespace(label="shop"), SimpleNamespace(path=tmp_path / "shop.log")
        shop = Starting(cast(Process, Unready(command, log, program.pid)), service, port + 1)
        try:
            wait_until(lambda: shop.takes(port) is not None, "the program's socket")
            said = shop.takes(port) or ""
            assert said.startswith(f"shop listens on 127.0.0.1:{port} but")
            assert said.endswith("Write in app.yaml: entrypoint: program $PORT")
            assert shop.takes(port + 1) is None
        finally:
            program.kill()


@pytest.mark.parametrize(
    ("entrypoint", "instead"),
    [
        ("gunicorn -b :8080 main:app", "gunicorn -b :$PORT main:app"),
        ("gunicorn --bind=0.0.0.0:8080 main:app", "gunicorn --bind=0.0.0.0:$PORT main:app"),
        ("uvicorn main:app --port 8080", "uvicorn main:app --port $PORT"),
    ],
)
def test_an_entrypoint_with_the_front_ends_port_is_refused_at_once(
    folder: Path, run: Callable[..., Run], entrypoint: str, instead: str
) -> None:
    (folder / "app.yaml").write_text(f"runtime: python313\nentrypoint: {entrypoint}\n")
    started = run("app.yaml", "--port", "8080")
    assert started.wait_exit() == 2
    assert "app.yaml: the entrypoint listens on port 8080" in started.output
    assert f"Write entrypoint: {instead}" in started.output


@pytest.mark.parametrize(
    "entrypoint",
    [
        "gunicorn -b :$PORT main:app",
        "python main.py --backend=http://other:8080/",
        "python main.py :8080/path",
        "cloud-proxy --port 8080 & gunicorn -b :${PORT} main:app",
    ],
)
def test_another_port_in_an_entrypoint_is_left_alone(entrypoint: str) -> None:
    assert fixed_port(entrypoint) is None


def test_a_program_that_other_machines_reach_is_told_so(folder: Path, run: Callable[..., Run]) -> None:
    program = (folder / "main.py").read_text()
    (folder / "main.py").write_text(program.replace('make_server("127.0.0.1"', 'make_server("0.0.0.0"'))
    started = run("app.yaml").wait_ready()
    started.wait_for("default listens on 0.0.0.0:")
    started.wait_for("Let it listen on 127.0.0.1.")


def test_after_half_a_minute_one_line_says_what_is_waited_for(tmp_path: Path) -> None:
    lines: list[str] = []
    names = {"tasks": os.getpid(), "frontend": None}
    processes = [
        Unready(SimpleNamespace(label=name), SimpleNamespace(path=tmp_path / f"{name}.log"), pid)
        for name, pid in names.items()
    ]

    async def watch() -> None:
        starting = [Starting(cast(Process, process)) for process in processes]
        running = asyncio.create_task(
            StartWatch(starting, lines.append, look_every_seconds=0.001, say_after_seconds=0.002).run()
        )
        while not lines:
            await asyncio.sleep(0.001)
        processes[0].is_ready = processes[1].is_ready = True
        await running

    asyncio.run(asyncio.wait_for(watch(), 10))
    # The front end has no process yet: it waits for the others itself.
    assert lines == [f"Still waiting after 0 s for tasks to start (its log: {tmp_path / 'tasks.log'})."]
