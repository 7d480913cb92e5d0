"""The server inside another program, a test for instance: on a thread of its own."""

import asyncio
import dataclasses
import threading
from collections.abc import Callable, Coroutine, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import uvloop

from localcloud.tasks.faults import FaultPlan
from localcloud.tasks.files import read_files
from localcloud.tasks.idle import wait_idle
from localcloud.tasks.queue_config import QueueConfig
from localcloud.tasks.service import DEFAULT_LOCATION, DEFAULT_PROJECT, Options, Service
from localcloud.tasks.targets import parse_targets

T = TypeVar("T")


class TasksServer:
    """A Cloud Tasks on free ports: `start()`, `address`, `http_address`, `wait_idle()`, `close()`.

    `queues` is a queue.yaml or the settings of each queue by its short name; `targets` are the values of
    --target.
    """

    def __init__(
        self,
        queues: Path | Mapping[str, QueueConfig],
        targets: Sequence[str] = (),
        *,
        apps: Sequence[Path] = (),
        dispatch: Path | None = None,
        cron: Path | None = None,
        data: Path | None = None,
        project: str = DEFAULT_PROJECT,
        location: str = DEFAULT_LOCATION,
        port: int = 0,
        http_port: int = 0,
        write_log: Callable[[str], None] = lambda _: None,
        verbose: bool = False,
    ) -> None:
        """Raises BadStart for a queue.yaml or a target that is not right."""
        self.options = Options(
            files=(
                read_files(queues, apps, dispatch, cron)
                if isinstance(queues, Path)
                else dataclasses.replace(read_files(None, apps, dispatch, cron), queues=queues)
            ),
            targets=parse_targets(targets),
            port=port,
            http_port=http_port,
            data=data,
            project=project,
            location=location,
            verbose=verbose,
        )
        self._write_log = write_log
        self._given_up = 0
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._service: Service | None = None

    @property
    def address(self) -> str:
        """HOST:PORT of the gRPC API."""
        return f"{self.options.host}:{self._running().port}"

    @property
    def http_address(self) -> str:
        """HOST:PORT of the side port."""
        return f"{self.options.host}:{self._running().http_port}"

    @property
    def location_name(self) -> str:
        """The parent of the queues from queue.yaml."""
        return f"projects/{self.options.project}/locations/{self.options.location}"

    def start(self) -> "TasksServer":
        """Start, and return once both ports answer. Raises BadStart."""
        self._given_up = 0
        loop = self._loop = uvloop.new_event_loop()
        self._thread = threading.Thread(target=loop.run_forever, name="localcloud.tasks", daemon=True)
        self._thread.start()
        try:
            self._service = self._call(self._start())
        except BaseException:
            self._stop_loop()
            raise
        return self

    def wait_idle(self, timeout_seconds: float = 30.0) -> list[str]:
        """Return once no task is pending or under way. Raises TimeoutError.

        The result: a line for each task that was given up since the last call, so for none it is empty.
        """
        service = self._running()
        if not self._call(wait_idle(service.broker, service.faults, timeout_seconds)):
            raise TimeoutError(f"tasks are still pending or under way after {timeout_seconds:g} s")
        given_up = service.given_up.since(self._given_up)
        self._given_up = service.given_up.count
        return given_up

    def remarks(self) -> list[str]:
        """What to say once at the start: a line for each queue and cron job whose target does not run."""
        return self._running().remarks()

    def redeliver(self, task_id: str | None = None) -> int | None:
        """Deliver a finished task once more (the last one, if none is named); the status of the answer, if
        any.

        Raises LookupError if it is not among the last thousand.
        """
        return self._call(self._redeliver(task_id))

    def set_faults(self, plan: FaultPlan | None) -> None:
        """From now on, these faults; None for no faults."""
        self._call(self._set_faults(plan))

    def close(self) -> None:
        """Stop. What is under way is cut off; with a file, it is delivered again at the next start."""
        if self._service is not None:
            self._call(self._service.stop())
            self._service = None
            self._stop_loop()

    def __enter__(self) -> "TasksServer":
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.close()

    async def _start(self) -> Service:
        service = Service(self.options, self._write_log)
        await service.start()
        return service

    async def _redeliver(self, task_id: str | None) -> int | None:
        redelivered = self._running().redelivery.start(task_id)
        if redelivered is None:
            raise LookupError(f"no finished task {task_id or ''!r} is remembered")
        return (await redelivered[1]).status

    async def _set_faults(self, plan: FaultPlan | None) -> None:
        self._running().faults.plan = plan

    def _call(self, coroutine: Coroutine[Any, Any, T]) -> T:
        assert self._loop is not None
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result()

    def _running(self) -> Service:
        if self._service is None:
            raise RuntimeError("the server is not running: call start() first")
        return self._service

    def _stop_loop(self) -> None:
        assert self._loop is not None
        assert self._thread is not None
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
        self._loop = self._thread = None
