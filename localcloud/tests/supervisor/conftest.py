"""Small applications, and a runner of the real command."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import pytest
from localcloud.supervisor.state import read_state
from localcloud.testing.child import Child
from localcloud.testing.errors import LocalCloudError
from localcloud.testing.waiting import wait_until

ROOT = Path(__file__).parents[2] / "src"

PROGRAM = """\
import json, os, threading, wsgiref.simple_server

GREETING = "first"

def app(environ, start_response):
    path = environ["PATH_INFO"]
    if path == "/die":
        os._exit(7)
    if path == "/_ah/warmup":
        with open(os.environ.get("WARMED", os.devnull), "a") as file:
            file.write(environ.get("HTTP_X_APPENGINE_USER_IP", "") + "\\n")
    status = os.environ.get("WARMUP_STATUS", "200 OK") if path == "/_ah/warmup" else "200 OK"
    body = json.dumps(dict(os.environ)) if path == "/env" else GREETING
    if status.startswith("5"):
        body = "\\nno database: say COUNTER_URL\\nmore"
    start_response(status, [("Content-Type", "text/plain")])
    return [body.encode()]

if __name__ == "__main__":
    print("serving on", os.environ["PORT"], flush=True)
    wsgiref.simple_server.make_server("127.0.0.1", int(os.environ["PORT"]), app).serve_forever()
"""

SERVICE = """\
runtime: python313
service: {name}
entrypoint: {entrypoint}
inbound_services: [warmup]
env_variables:
  FROM_FILE: file
  GAE_SERVICE: forged
"""


class Run:
    """`python -m localcloud ...`, with what it printed."""

    def __init__(self, folder: Path, arguments: list[str], environ: dict[str, str]) -> None:
        self.folder = folder
        self.data = folder / "data"
        self.output_file = folder / "output.log"
        command = [sys.executable, "-m", "localcloud", *arguments, "--data", str(self.data)]
        environment = {**os.environ, "PYTHONPATH": str(ROOT), **environ}
        with self.output_file.open("wb") as output:
            self._child = Child(command, output, environment, folder)
        self.process = self._child.process

    @property
    def output(self) -> str:
        return self.output_file.read_text("utf-8", "replace")

    @property
    def state(self) -> dict[str, Any]:
        state = read_state(self.data)
        assert state is not None
        return state

    def wait_ready(self) -> Run:
        def is_ready() -> bool:
            assert self.process.poll() is None, self.output
            state = read_state(self.data)
            return state is not None and state["pid"] == self.process.pid and state["ready"]

        wait_until(is_ready, f"readiness: {self.output}", 60.0)
        return self

    def wait_exit(self) -> int:
        return self.process.wait(60)

    def wait_for(self, text: str) -> None:
        try:
            wait_until(lambda: text in self.output, f"{text!r}")
        except LocalCloudError as error:
            raise AssertionError(f"{error} in:\n{self.output}") from None

    def pid_of(self, label: str) -> int:
        wait_until(lambda: self.state["processes"][label]["ready"], f"{label}: {self.output}")
        return int(self.state["processes"][label]["pid"])

    def get(self, path: str, service: str = "default") -> tuple[int, str]:
        """Through the front end."""
        port = self.state["address"].rpartition(":")[2]
        request = urllib.request.Request(
            f"http://127.0.0.1:{port}{path}", headers={"Host": f"{service}.localhost"}
        )
        try:
            with urllib.request.urlopen(request, timeout=20) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()

    def environment(self, service: str = "default") -> dict[str, str]:
        environment: dict[str, str] = json.loads(self.get("/env", service)[1])
        return environment

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.process.kill()
        self.process.wait()
        self._child.let_go()


def alive(pids: list[int]) -> list[int]:
    """Those of `pids` that are running (zombies are not)."""
    running = []
    for pid in pids:
        try:
            stat = Path(f"/proc/{pid}/stat").read_text()
        except OSError:
            continue
        if stat.rpartition(")")[2].split()[0] not in "ZX":
            running.append(pid)
    return running


def guards_of(owner: int) -> list[int]:
    """The living shells that guard what `owner` has started."""
    shells = Path(f"/proc/{owner}/task/{owner}/children").read_text().split()
    found = []
    for shell in shells:
        with suppress(OSError):
            if b"read -r sign" in Path(f"/proc/{shell}/cmdline").read_bytes():
                found.append(int(shell))
    return alive(found)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An application of two services, without gunicorn: it starts in no time."""
    app = tmp_path / "app"
    app.mkdir()
    (app / "main.py").write_text(PROGRAM)
    for name, file in (("default", "app.yaml"), ("worker", "worker.yaml")):
        (app / file).write_text(SERVICE.format(name=name, entrypoint=f"{sys.executable} main.py"))
    return app


@pytest.fixture
def run(folder: Path) -> Iterator[Callable[..., Run]]:
    """Run the command; Datastore and Cloud Tasks are configured elsewhere, so that neither is started."""
    with ExitStack() as running:

        def start(*arguments: str, **environ: str) -> Run:
            elsewhere = {"DATASTORE_EMULATOR_HOST": "127.0.0.1:1", "CLOUD_TASKS_EMULATOR_HOST": "127.0.0.1:2"}
            if not any(argument == "--port" for argument in arguments):
                arguments = (*arguments, "--port", "0")
            started = Run(folder, list(arguments or ("app.yaml",)), {**elsewhere, **environ})
            running.callback(started.close)
            return started

        yield start
