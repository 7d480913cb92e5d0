"""One of localcloud's servers alone: Datastore, Cloud Tasks, or the proxy that makes faults."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import grpc

from localcloud.supervisor.ports import FreePorts
from localcloud.testing import http
from localcloud.testing.child import Child
from localcloud.testing.errors import LocalCloudError
from localcloud.testing.given_up import GivenUp
from localcloud.testing.sharing import IDLE_SECONDS, Queues, Shared
from localcloud.testing.waiting import wait_until

_ADDRESS = re.compile(r"[\w.\[\]:-]+:\d+")
_PACKAGE_PARENT = Path(__file__).parents[2]
_free_ports = FreePorts("127.0.0.1")


class ServerProcess:
    """`python -m localcloud.NAME`, on free ports, keeping its data and its output in `folder`.

    Without `folder` it has one of its own, which goes with it. A restart keeps the ports, so that clients
    find it again. Ends with this process, however that ends.
    """

    name = ""

    def __init__(self, folder: Path | None) -> None:
        self._temporary = tempfile.TemporaryDirectory(prefix="localcloud-") if folder is None else None
        self.folder = Path(self._temporary.name) if self._temporary else folder or Path()
        self.addresses: list[str] = []
        self._chosen_ports = [_free_ports.take() for _ in range(3)]
        self._arguments: list[str] = []
        self._environ = {**os.environ}
        self._environ["PYTHONPATH"] = os.pathsep.join(
            filter(None, [str(_PACKAGE_PARENT), self._environ.get("PYTHONPATH")])
        )
        self._process: subprocess.Popen[bytes] | None = None
        self._child: Child | None = None
        self.folder.mkdir(parents=True, exist_ok=True)
        self.log_file = self.folder / f"{self.name}.out"

    def start(self, timeout_seconds: float = 60.0) -> Self:
        """Start it, and return once it is ready. Raises LocalCloudError with its last words."""
        before = self.log_file.stat().st_size if self.log_file.exists() else 0
        with self.log_file.open("ab") as output:
            arguments = [sys.executable, "-m", f"localcloud.{self.name}", *self._arguments, *self._ports()]
            self._child = Child(arguments, output, self._environ)
        self._process = self._child.process
        ready = f"localcloud.{self.name} ready on "

        def is_ready() -> bool:
            assert self._process is not None
            said = self.log_file.read_bytes()[before:].decode("utf-8", "replace")
            if ready in said and said.partition(ready)[2].count("\n"):
                line = said.partition(ready)[2].partition("\n")[0]
                self.addresses = _ADDRESS.findall(line)
                return True
            if self._process.poll() is not None:
                raise LocalCloudError(
                    f"localcloud.{self.name} exited with {self._process.returncode}: {said}"
                )
            return False

        try:
            wait_until(is_ready, f"localcloud.{self.name}", timeout_seconds)
        except LocalCloudError:
            self.kill()
            raise
        return self

    @property
    def address(self) -> str:
        """HOST:PORT of the gRPC API."""
        return self.addresses[0]

    @property
    def http_address(self) -> str:
        """HOST:PORT of the side port."""
        return self.addresses[-1]

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def kill(self) -> None:
        """SIGKILL to it and all that it started; returns when it is dead."""
        if self._process is not None:
            if self._process.poll() is None:
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
        self._let_go()

    def stop(self, timeout_seconds: float = 30.0) -> int:
        """SIGTERM; the exit status. Raises LocalCloudError if it does not stop, and kills it."""
        assert self._process is not None
        self._process.terminate()
        try:
            status = self._process.wait(timeout_seconds)
        except subprocess.TimeoutExpired:
            self.kill()
            raise LocalCloudError(f"localcloud.{self.name} did not stop on SIGTERM") from None
        self._let_go()
        return status

    def log(self) -> str:
        return self.log_file.read_text("utf-8", "replace")

    def counts(self) -> Any:
        """What its side port has counted."""
        return http.call("GET", self.http_address, "/counts")

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()
        _free_ports.release(*self._chosen_ports)
        if self._temporary is not None:
            self._temporary.cleanup()

    def _let_go(self) -> None:
        if self._child is not None:
            self._child.let_go()
            self._child = None

    def _ports(self) -> list[str]:
        port, http_port = self._chosen_ports[0], self._chosen_ports[-1]
        return ["--host", "127.0.0.1", "--port", str(port), "--http-port", str(http_port)]


class DatastoreProcess(ServerProcess):
    """A Datastore. `options` are those of `python -m localcloud.datastore`."""

    name = "datastore"

    def __init__(self, folder: Path | None = None, *options: str) -> None:
        super().__init__(folder)
        self._arguments = ["--data", str(self.folder / "datastore.sqlite3"), *options]


class TasksProcess(ServerProcess, Shared):
    """A Cloud Tasks with the queues of `queue_file`, delivering to `targets` (service -> URL)."""

    name = "tasks"

    def __init__(
        self, queue_file: Path, targets: Mapping[str, str], *options: str, folder: Path | None = None
    ) -> None:
        super().__init__(folder)
        self._options = ["--queues", str(queue_file)]
        for service, url in targets.items():
            self._options += ["--target", f"{service}={url}"]
        self._options += options
        self._queues = Queues()
        self._given_up = GivenUp()
        self._replacements = 0
        self._given_up = GivenUp()
        self._keep_data_in(self.folder)

    def reset(self) -> None:
        """No task, no paused queue and no fault is left, and the queues are those of the file. If that can't
        be had in bounded time, an empty server takes its place, at the same addresses.
        """
        try:
            self._queues.empty(self.address, self._location)
            http.call("DELETE", self.http_address, "/faults")
            self.wait_idle(IDLE_SECONDS)
            is_clean = self._queues.are_as_at_the_start(self.address, self._location)
        except (LocalCloudError, grpc.RpcError):
            is_clean = False
        if not is_clean:
            self.replace()

    def replace(self) -> None:
        """Kill it, and start an empty one at the same addresses."""
        self.kill()
        self._replacements += 1
        self._keep_data_in(self.folder / f"replacement-{self._replacements}")
        self._queues.forget()
        self._given_up = GivenUp()
        self.start()

    def wait_idle(self, timeout_seconds: float = 60.0) -> list[str]:
        """Return once no task is pending or in flight; a line for each task given up since the last call."""
        http.call(
            "GET", self.http_address, "/idle", timeout_seconds=timeout_seconds + 5, timeout=timeout_seconds
        )
        return self._given_up.ask(self.http_address)

    def redeliver(self, task: str) -> Any:
        """Deliver a finished task again, by its name (short or full); returns once that is answered."""
        return http.call("POST", self.http_address, "/redeliver", task=task.rpartition("/")[2])

    @property
    def _location(self) -> str:
        given = dict(pairwise(self._options))
        project, location = given.get("--project", "local-project"), given.get("--location", "us-central1")
        return f"projects/{project}/locations/{location}"

    def _keep_data_in(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._arguments = ["--data", str(folder / "tasks.sqlite3"), *self._options]


class FaultyProxy(ServerProcess):
    """A proxy before a Datastore, a Cloud Tasks, or both; see localcloud.faults.script for its rules."""

    name = "faults"

    def __init__(
        self, *, datastore: str | None = None, tasks: str | None = None, folder: Path | None = None
    ) -> None:
        super().__init__(folder)
        self._arguments = ["--datastore", datastore] if datastore else []
        self._arguments += ["--tasks", tasks] if tasks else []

    @property
    def datastore_address(self) -> str:
        """Where Datastore's clients go."""
        return self.addresses[0]

    @property
    def tasks_address(self) -> str:
        """Where Cloud Tasks' clients go."""
        return self.addresses[-2]

    def set_faults(self, **rules: Sequence[Mapping[str, object]]) -> None:
        """Replace the rules: `set_faults(datastore=[{"method": "Commit", "fault": "response_lost"}])`."""
        http.call("POST", self.http_address, "/faults", body=rules)

    def clear_faults(self) -> None:
        http.call("DELETE", self.http_address, "/faults")

    def report(self) -> Any:
        """Calls by method, and how often each rule has struck."""
        return http.call("GET", self.http_address, "/faults")

    def _ports(self) -> list[str]:
        port, tasks_port, http_port = map(str, self._chosen_ports)
        return ["--host", "127.0.0.1", "--port", port, "--tasks-port", tasks_port, "--http-port", http_port]
