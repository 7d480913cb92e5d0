"""Whatever dies in whatever order: nothing outlives its supervisor, and what lives is looked after by it."""

from __future__ import annotations

import os
import resource
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from itertools import permutations
from pathlib import Path

import pytest
from localcloud.testing.waiting import wait_until

from tests.supervisor.conftest import ROOT, SERVICE, Run, alive, guards_of

Start = Callable[..., Run]

PATIENCE_SECONDS = 60.0

# As gunicorn does: a parent that supervises, and a child that serves. The child never looks whether its
# parent is still there.
FORKING = "import os, main\nif os.fork(): os.wait()\nelse: main.serve()\n"


@pytest.fixture
def mark() -> Iterator[str]:
    """A word in the environment of every process of the run, wherever it is in the tree of processes."""
    word = f"mark-{secrets.token_hex(8)}"
    yield word
    for pid in marked(word):
        os.kill(pid, signal.SIGKILL)


def marked(word: str) -> list[int]:
    """The living processes with this word in their environment."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            environment = (folder / "environ").read_bytes()
        except OSError:
            continue
        if word.encode() in environment:
            found.append(int(folder.name))
    return alive(found)


@pytest.fixture
def forking(folder: Path) -> Path:
    """The folder of an application whose services fork."""
    program = (folder / "main.py").read_text().replace('if __name__ == "__main__":', "def serve():")
    (folder / "main.py").write_text(program)
    (folder / "forking.py").write_text(FORKING)
    for name, file in (("default", "app.yaml"), ("worker", "worker.yaml")):
        entrypoint = f"exec {sys.executable} forking.py"
        (folder / file).write_text(SERVICE.format(name=name, entrypoint=entrypoint))
    return folder


@pytest.mark.parametrize("order", list(permutations(("guard", "service", "supervisor"))), ids=" ".join)
def test_nothing_outlives_the_supervisor_in_whatever_order_they_are_killed(
    run: Start, forking: Path, mark: str, order: tuple[str, ...]
) -> None:
    running = run("app.yaml", "worker.yaml", MARK=mark).wait_ready()
    before = marked(mark)
    victims = {
        "guard": guards_of(running.process.pid),
        "service": [running.pid_of("default"), running.pid_of("worker")],
        "supervisor": [running.process.pid],
    }
    assert {pid for pids in victims.values() for pid in pids} < set(before)
    for name in order:
        for pid in victims[name]:
            os.kill(pid, signal.SIGKILL)
    running.wait_exit()
    wait_until(lambda: not marked(mark), f"the end of all after {order}", PATIENCE_SECONDS)


def test_nothing_outlives_a_supervisor_that_is_killed_while_it_starts(
    run: Start, forking: Path, mark: str
) -> None:
    running = run("app.yaml", "worker.yaml", MARK=mark)
    wait_until(lambda: len(marked(mark)) > 3, "the first processes", PATIENCE_SECONDS)
    for pid in [*guards_of(running.process.pid), running.process.pid]:
        os.kill(pid, signal.SIGKILL)
    running.wait_exit()
    wait_until(lambda: not marked(mark), "the end of all", PATIENCE_SECONDS)


def test_a_guard_that_is_killed_is_replaced_while_nothing_else_happens(run: Start) -> None:
    running = run("app.yaml").wait_ready()
    before = guards_of(running.process.pid)
    for pid in before:
        os.kill(pid, signal.SIGKILL)
    wait_until(lambda: set(guards_of(running.process.pid)) - set(before), "a guard", PATIENCE_SECONDS)
    pids = [running.pid_of("default"), running.pid_of("frontend")]
    running.process.kill()
    running.wait_exit()
    wait_until(lambda: not alive(pids), f"the end of {pids}", PATIENCE_SECONDS)


def test_a_server_of_a_test_outlives_neither_the_test_nor_its_guard(tmp_path: Path, mark: str) -> None:
    program = (
        "import sys, time\n"
        "from pathlib import Path\n"
        "from localcloud.testing import DatastoreProcess\n"
        "server = DatastoreProcess(Path(sys.argv[1])).start()\n"
        "print(server.pid, flush=True)\n"
        "time.sleep(300)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        env={**os.environ, "MARK": mark},
    ) as test:
        assert test.stdout is not None
        assert int(test.stdout.readline()) in marked(mark)
        for pid in [*guards_of(test.pid), test.pid]:
            os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not marked(mark), "the end of the server", PATIENCE_SECONDS)


class FullDisk:
    """No regular file of these processes may grow: each write fails, as on a full disk."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        _, self._most = self._limit(0)

    def free(self) -> None:
        self._limit(self._most)

    def _limit(self, size: int) -> tuple[int, int]:
        _, most = resource.prlimit(self._pid, resource.RLIMIT_FSIZE)
        return resource.prlimit(self._pid, resource.RLIMIT_FSIZE, (size, most))


@pytest.mark.parametrize("label", ["frontend", "default"])
def test_what_dies_on_a_full_disk_is_looked_after(run: Start, mark: str, label: str) -> None:
    running = run("app.yaml", MARK=mark).wait_ready()
    before = len(marked(mark))
    disk = FullDisk(running.process.pid)
    old = running.pid_of(label)
    os.kill(old, signal.SIGKILL)
    wait_until(lambda: not alive([old]), f"the end of {label}")
    wait_until(lambda: answers(running), "an answer while the disk is full", PATIENCE_SECONDS)
    # Whatever the supervisor would write in the meantime is refused.
    assert running.state["processes"][label]["pid"] == old
    disk.free()
    freed = time.monotonic()
    wait_until(
        lambda: (
            running.state["processes"][label]["pid"] not in (old, None)
            and running.state["processes"][label]["ready"]
        ),
        f"{label} to be managed: {running.output}",
    )
    assert time.monotonic() - freed < 10
    assert running.get("/") == (200, "first")
    assert running.state["processes"][label]["restarts"] == 1
    assert len(marked(mark)) == before
    assert "Traceback" not in running.output
    managed = running.state["processes"][label]["pid"]
    os.kill(managed, signal.SIGKILL)
    wait_until(lambda: running.state["processes"][label]["restarts"] == 2, "the next life", PATIENCE_SECONDS)


def answers(running: Run) -> bool:
    try:
        return running.get("/") == (200, "first")
    except OSError:
        return False


def test_what_can_not_start_again_gives_its_reason_once(run: Start) -> None:
    running = run("app.yaml").wait_ready()
    port = int(running.state["address"].rpartition(":")[2])
    pid = running.pid_of("frontend")
    os.kill(pid, signal.SIGSTOP)
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        os.kill(pid, signal.SIGKILL)

        def is_bound() -> bool:
            try:
                other.bind(("127.0.0.1", port))
            except OSError:
                return False
            other.listen()
            return True

        wait_until(is_bound, "the port")
        wait_until(
            lambda: running.state["processes"]["frontend"]["restarts"] >= 4, "restarts", PATIENCE_SECONDS
        )
    told = [line for line in running.output.splitlines() if "starting it again" in line]
    assert len(told) == 2
    assert told[0].startswith("frontend was killed by SIGKILL; starting it again in 0.1 s.")
    assert told[1].startswith("frontend exited with status 2: localcloud.frontend: ")
    assert running.output.count("localcloud.frontend: ") == 1
    running.pid_of("frontend")
    assert running.get("/") == (200, "first")
