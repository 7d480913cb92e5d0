"""The peers, where gcloud is installed: Google's two emulators and its dev server.

Each is started on free ports with fresh data, and ends with the block that uses it. The dev server runs
bench/classic: a small counter of our own, written the way the classic sample works.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path

from localcloud.supervisor.ports import FreePorts

from bench.applying import Applied
from bench.stack import clean_environ

_CLASSIC = Path(__file__).parent / "classic"
_PYTHONS = ("python3.11", "python3.12", "python3.13", "python3.10")
_START_S = 120.0
_ports = FreePorts("127.0.0.1")


class PeerMissing(Exception):
    """Not installed here, or it does not start. The message says what."""


@cache
def _platform() -> Path:
    gcloud = shutil.which("gcloud")
    if gcloud is None:
        raise PeerMissing("gcloud is not installed")
    return Path(gcloud).resolve().parents[1] / "platform"


@contextmanager
def datastore_emulator() -> Iterator[str]:
    """HOST:PORT of the (legacy) Datastore emulator."""
    with tempfile.TemporaryDirectory() as folder:
        program = _program("cloud-datastore-emulator/cloud_datastore_emulator")
        subprocess.run(
            [program, "create", "--project_id=local-project", f"{folder}/data"],
            check=True,
            capture_output=True,
        )
        port = _ports.take()
        options = ["--host=127.0.0.1", f"--port={port}", "--store_on_disk=False", "--consistency=1.0"]
        with _running([program, "start", *options, f"{folder}/data"], f"http://127.0.0.1:{port}/"):
            yield f"127.0.0.1:{port}"


@contextmanager
def firestore_emulator() -> Iterator[str]:
    """HOST:PORT of the Firestore emulator in Datastore mode."""
    program = _program("cloud-firestore-emulator/cloud_firestore_emulator")
    port = _ports.take()
    options = ["--host=127.0.0.1", f"--port={port}", "--database-mode=datastore-mode"]
    with _running([program, "start", *options], f"http://127.0.0.1:{port}/"):
        yield f"127.0.0.1:{port}"


def dev_server(count: int) -> tuple[Applied, float]:
    """The classic counter on the official dev server: its speed, and the seconds until its first page."""
    program = _program("google_appengine/dev_appserver.py")
    bundled = _platform() / "bundledpythonunix" / "bin" / "python3"
    host = str(bundled) if bundled.exists() else "python3"
    python = next(filter(None, map(shutil.which, _PYTHONS)), None)
    if python is None:
        raise PeerMissing(f"none of {', '.join(_PYTHONS)} is installed, one of which the dev server needs")
    with tempfile.TemporaryDirectory() as folder:
        application = shutil.copytree(_CLASSIC, f"{folder}/classic")
        port = _ports.take()
        options = [
            f"--port={port}",
            f"--admin_port={_ports.take()}",
            f"--api_port={_ports.take()}",
            "--application=classic",
            "--skip_sdk_update_check=yes",
            f"--storage_path={folder}",
            f"--runtime_python_path=python311={python}",
        ]
        url = f"http://localhost:{port}"
        started = time.monotonic()
        with _running([host, program, *options, f"{application}/app.yaml"], f"{url}/value"):
            first_page_s = time.monotonic() - started
            return _load(url, count), first_page_s


def _load(url: str, count: int) -> Applied:
    """Post increments, 16 at a time, and wait until they are applied or nothing moves any more."""
    started = time.monotonic()

    def post(_: int) -> None:
        urllib.request.urlopen(f"{url}/increment", data=b"", timeout=60).close()

    with ThreadPoolExecutor(16) as pool:
        list(pool.map(post, range(count)))
    value, moved = 0, time.monotonic()
    while value < count and time.monotonic() - moved < 15:
        with urllib.request.urlopen(f"{url}/value", timeout=60) as answer:
            now = int(answer.read())
        if now != value:
            value, moved = now, time.monotonic()
        time.sleep(0.2)
    return Applied(value, moved - started, value == count)


def _program(path: str) -> str:
    program = _platform() / path
    if not program.exists():
        raise PeerMissing(f"gcloud's component with {path} is not installed")
    return str(program)


@contextmanager
def _running(command: Sequence[str], url: str) -> Iterator[None]:
    """The program, from when it answers at `url` until the block ends."""
    environ = clean_environ()
    environ["CLOUDSDK_CORE_DISABLE_PROMPTS"] = "1"
    for name in ("PYTHONPATH", "VIRTUAL_ENV"):
        environ.pop(name, None)
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(
            command, stdout=output, stderr=subprocess.STDOUT, env=environ, start_new_session=True
        )
        try:
            _wait(lambda: _answers(url), process)
            yield
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGTERM)
            try:
                process.wait(15)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()


def _wait(condition: Callable[[], bool], process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + _START_S
    while not condition():
        if process.poll() is not None or time.monotonic() > deadline:
            raise PeerMissing(f"{Path(str(process.args[0])).name} does not start")  # type: ignore[index]
        time.sleep(0.1)


def _answers(url: str) -> bool:
    try:
        urllib.request.urlopen(url, timeout=5).close()
    except urllib.error.HTTPError as error:
        return error.code < 500
    except OSError:
        return False
    return True
