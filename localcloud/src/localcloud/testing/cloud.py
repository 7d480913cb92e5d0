"""A whole local cloud under test: the real `python -m localcloud`, as a child process on free ports."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import weakref
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import grpc

from localcloud.frontend.identity import COOKIE_NAME, Sessions, User, load_secret
from localcloud.supervisor.state import read_state
from localcloud.testing import http
from localcloud.testing.child import Child
from localcloud.testing.errors import LocalCloudError
from localcloud.testing.given_up import GivenUp
from localcloud.testing.memory import proportional_set_size
from localcloud.testing.sharing import IDLE_SECONDS, Queues, Shared
from localcloud.testing.waiting import wait_until

_PACKAGE_PARENT = Path(__file__).parents[2]
_REPORTED_LINES = 100
# All that were started and not stopped by this process, for the report on a failing test.
started: weakref.WeakSet[LocalCloud] = weakref.WeakSet()


class LocalCloud(Shared):
    """An application with everything around it.

    `files` are relative to `root`; `data` is the data folder, `env` goes to the services, `instances` says
    how many processes a service has, `options` are further options of `python -m localcloud`. With `faults`,
    a proxy stands before Datastore and Cloud Tasks, which does nothing until `set_faults` says so.
    Ends with this process, however that ends.
    """

    def __init__(
        self,
        files: Sequence[str | Path],
        *,
        root: Path,
        data: Path,
        env: Mapping[str, str] | None = None,
        instances: Mapping[str, int] | None = None,
        options: Sequence[str] = (),
        faults: bool = False,
        environ: Mapping[str, str] | None = None,
    ) -> None:
        """`environ` is for the supervisor itself: with DATASTORE_EMULATOR_HOST in it, that server is used.
        What this process has of such variables is not passed on.
        """
        self._root = root
        self._environ = dict(environ or {})
        self._arguments = [str(file) for file in files]
        self._arguments += ["--port", "0", "--no-reload", *options]
        for name, value in (env or {}).items():
            self._arguments += ["--env", f"{name}={value}"]
        for service, count in (instances or {}).items():
            self._arguments += ["--instances", f"{service}={count}"]
        self._has_faults = faults
        self._queues = Queues()
        self._replacements = 0
        self._first_folder = data
        self._keep_data_in(data)
        self._process: subprocess.Popen[bytes] | None = None
        self._child: Child | None = None
        self._killed: set[int] = set()
        self._given_up = GivenUp()

    def start(self, timeout_seconds: float = 60.0) -> Self:
        """Start it; returns when every service is ready. Raises LocalCloudError with what it printed."""
        started.add(self)
        environ = {key: value for key, value in os.environ.items() if not key.endswith("_EMULATOR_HOST")}
        path = filter(None, [str(_PACKAGE_PARENT), environ.get("PYTHONPATH")])
        environ["PYTHONPATH"] = os.pathsep.join(path)
        environ.update(self._environ)
        with self._output.open("ab") as output:
            arguments = [sys.executable, "-m", "localcloud", *self._arguments, "--data", str(self.data)]
            if self._has_faults:
                arguments += ["--faults", str(self._script)]
            self._child = Child(arguments, output, environ, self._root)
        self._process = self._child.process

        def is_ready() -> bool:
            assert self._process is not None
            if self._process.poll() is not None:
                raise LocalCloudError(
                    f"localcloud exited with {self._process.returncode}:\n{self.log()[-4000:]}"
                )
            state = read_state(self.data)
            return state is not None and state["pid"] == self._process.pid and state["ready"]

        try:
            wait_until(is_ready, "the local cloud to be ready", timeout_seconds)
        except LocalCloudError:
            self.kill_all()
            raise
        return self

    def stop(self, timeout_seconds: float = 30.0) -> int:
        """SIGTERM, as Ctrl-C; the exit status. Raises LocalCloudError if it does not stop, and kills it."""
        assert self._process is not None
        self._process.terminate()
        try:
            status = self._process.wait(timeout_seconds)
        except subprocess.TimeoutExpired:
            self.kill_all()
            raise LocalCloudError(f"localcloud did not stop:\n{self.log()[-4000:]}") from None
        started.discard(self)
        self._let_go()
        return status

    def kill_all(self) -> None:
        """SIGKILL to the supervisor, with which all others end; returns when they are gone."""
        assert self._process is not None
        state = read_state(self.data)
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()
        self._let_go()
        processes = state["processes"].values() if state else ()
        for pid in [process["pid"] for process in processes if process["pid"]]:
            wait_until(lambda pid=pid: not _is_alive(pid), f"process {pid} to be gone")  # type: ignore[misc]

    def reset(self) -> None:
        """No task, no paused queue and no fault is left, every process runs, and the queues are those of the
        file; what Datastore holds stays. If that can't be had in bounded time, another local cloud takes its
        place: with nothing stored, in a folder and at addresses of its own.
        """
        try:
            for label in self.state["processes"]:
                self.wait_ready(label, IDLE_SECONDS)
            self.clear_faults()
            location = f"projects/{self.state['project']}/locations/{self.state['region']}"
            self._queues.empty(self.tasks_address, location)
            self.wait_idle(IDLE_SECONDS)
            self._given_up.told.clear()
            is_clean = self._queues.are_as_at_the_start(self.tasks_address, location)
        except (LocalCloudError, grpc.RpcError):
            is_clean = False
        if not is_clean:
            self.replace()

    def replace(self) -> None:
        """Kill it, and start another one with nothing stored."""
        self.kill_all()
        self._replacements += 1
        self._keep_data_in(self._first_folder / f"replacement-{self._replacements}")
        self._queues.forget()
        self._given_up = GivenUp()
        self._killed.clear()
        self.start()

    # Where everything is

    @property
    def state(self) -> dict[str, Any]:
        """What the supervisor publishes: addresses, process ids, restarts."""
        state = read_state(self.data)
        if state is None:
            raise LocalCloudError("the local cloud does not run")
        return state

    @property
    def url(self) -> str:
        """The default service's URL, without a slash at the end."""
        return f"http://{self.state['address'].replace('127.0.0.1', 'localhost')}"

    def service_url(self, service: str) -> str:
        """A service's URL at the front end, e.g. http://worker.localhost:20001."""
        return str(self._service(service)["url"])

    def direct_url(self, service: str, instance: int = 0) -> str:
        """An instance's own address, past the front end."""
        return str(self._service(service)["instances"][instance]["url"])

    @property
    def console_url(self) -> str:
        """The console's URL, without a slash at the end."""
        return str(self.state["console"]["url"])

    @property
    def datastore_address(self) -> str:
        """HOST:PORT for DATASTORE_EMULATOR_HOST."""
        return str(self.state["datastore"]["address"])

    @property
    def tasks_address(self) -> str:
        """HOST:PORT for CLOUD_TASKS_EMULATOR_HOST."""
        return str(self.state["tasks"]["address"])

    @property
    def pid(self) -> int:
        """The supervisor's process id."""
        return int(self.state["pid"])

    # What happens inside

    def wait_idle(self, timeout_seconds: float = 60.0) -> list[str]:
        """Return once no task is pending or in flight. Raises LocalCloudError after `timeout_seconds`.

        The result: a line for each task that was given up since the last call, so for none it is empty.
        """
        http.call(
            "GET", self._http("tasks"), "/idle", timeout_seconds=timeout_seconds + 5, timeout=timeout_seconds
        )
        return self._given_up.ask(self._http("tasks"))

    def redeliver(self, task: str) -> Any:
        """Deliver a finished task again, by its name (short or full); returns once that is answered."""
        return http.call("POST", self._http("tasks"), "/redeliver", task=task.rpartition("/")[2])

    def counts(self, server: str) -> Any:
        """What `datastore` or `tasks` has counted since it started."""
        return http.call("GET", self._http(server), "/counts")

    def set_faults(self, deliveries: object = None, **rules: Sequence[Mapping[str, object]]) -> None:
        """Replace the dispatcher's faults, and the rules of the proxy: `set_faults(datastore=[...])`."""
        if deliveries is not None:
            http.call("POST", self._http("tasks"), "/faults", body=deliveries)
        if rules:
            http.call("POST", self._http("faults"), "/faults", body=rules)

    def clear_faults(self) -> None:
        """From now on everything passes unharmed."""
        http.call("DELETE", self._http("tasks"), "/faults")
        if self.state["faults"]["http"]:
            http.call("DELETE", self._http("faults"), "/faults")

    def fault_report(self) -> Any:
        """What the proxy saw, and how often its rules have struck."""
        return http.call("GET", self._http("faults"), "/faults")

    def kill(self, name: str) -> None:
        """SIGKILL to `datastore`, `tasks`, `frontend`, or all instances of a service (or one: `worker-2`).

        Returns when they are dead. The supervisor starts them again; see wait_ready.
        """
        for label in self._labels(name):
            self._wait_for(label, lambda process: process["pid"] and process["pid"] not in self._killed)
            pid = int(self.state["processes"][label]["pid"])
            self._killed.add(pid)
            os.killpg(pid, signal.SIGKILL)
            wait_until(lambda pid=pid: not _is_alive(pid), f"{label} to be dead")  # type: ignore[misc]

    def wait_ready(self, name: str, timeout_seconds: float = 60.0) -> None:
        """Return once the process, respectively all of a service's, is there and ready."""
        for label in self._labels(name):
            self._wait_for(
                label,
                lambda process: process["ready"] and process["pid"] not in self._killed,
                timeout_seconds,
            )

    def report(self, offset: int = 0) -> str:
        """For a test that failed: the end of what was printed from `offset` on, and what was given up."""
        printed = self._output.read_bytes()[offset:] if self._output.exists() else b""
        lines = printed.decode("utf-8", "replace").splitlines()
        text = "\n".join(lines[-_REPORTED_LINES:])
        if len(lines) > _REPORTED_LINES:
            text = f"... ({len(lines) - _REPORTED_LINES} lines before in {self._output})\n{text}"
        self._ask_given_up()
        return "\n".join([text, *(f"GIVEN UP: {line}" for line in self._given_up.told)])

    def _ask_given_up(self) -> None:
        # Not where it runs no more, or some other server delivers the tasks.
        with contextlib.suppress(LocalCloudError):
            self._given_up.ask(self._http("tasks"))

    def printed_bytes(self) -> int:
        """How much has been printed so far: an `offset` for `report`."""
        return self._output.stat().st_size if self._output.exists() else 0

    def log(self, name: str | None = None) -> str:
        """What a process has printed; without a name, everything that `python -m localcloud` printed."""
        file = Path(self.state["processes"][name]["log"]) if name else self._output
        return file.read_text("utf-8", "replace")

    def sign_in(self, email: str = "admin@example.com", *, admin: bool = True) -> str:
        """The value of a Cookie header that signs this user in."""
        sessions = Sessions(load_secret(self.data / "login-key"))
        return f"{COOKIE_NAME}={sessions.issue(User(email, admin))}"

    def memory_pss(self) -> int:
        """Bytes that all processes together occupy: what they share is counted once."""
        return proportional_set_size(self.pid)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process is None:
            return
        if kind is None and self._process.poll() is None:
            self.stop()
        else:
            self._ask_given_up()  # for the report on a test that has failed inside of the `with`
            self.kill_all()

    def _keep_data_in(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.data = folder
        self._output = folder / "localcloud.out"
        self._script = folder / "faults.json"
        if self._has_faults:
            self._script.write_text("{}", encoding="utf-8")

    def _let_go(self) -> None:
        if self._child is not None:
            self._child.let_go()
            self._child = None

    def _service(self, name: str) -> dict[str, Any]:
        services: dict[str, dict[str, Any]] = self.state["services"]
        if name not in services:
            raise LocalCloudError(f"there is no service {name!r}; there are: {', '.join(services)}")
        return services[name]

    def _http(self, server: str) -> str:
        address = self.state[server]["http"]
        if address is None:
            raise LocalCloudError(
                f"{server} has no side port here (for faults: LocalCloud(..., faults=True))"
            )
        return str(address)

    def _labels(self, name: str) -> list[str]:
        state = self.state
        if name in state["processes"]:
            return [name]
        return [instance["label"] for instance in self._service(name)["instances"]]

    def _wait_for(self, label: str, condition: Any, timeout_seconds: float = 60.0) -> None:
        wait_until(
            lambda: condition(self.state["processes"][label]), f"{label}\n{self.log()}", timeout_seconds
        )


def _is_alive(pid: int) -> bool:
    """Is the process there, and no mere entry that waits for its parent to notice?"""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return Path("/proc").is_dir() is False and _answers(pid)
    return stat.rpartition(")")[2].split()[0] not in ("Z", "X")


def _answers(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
