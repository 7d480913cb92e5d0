"""One server, put together: the gRPC port, the side port, the queues and the store, on one event loop."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc

from localcloud.tasks.bad_start import BadStart
from localcloud.tasks.batch_methods import BatchMethods
from localcloud.tasks.broker import Broker
from localcloud.tasks.clock import LoopClock
from localcloud.tasks.counts import Counts
from localcloud.tasks.delivery_log import DeliveryLog
from localcloud.tasks.faults import FaultySender
from localcloud.tasks.files import Files
from localcloud.tasks.finished import FinishedTasks
from localcloud.tasks.grpc_methods import generic_handler
from localcloud.tasks.pages import Pages
from localcloud.tasks.queue_methods import QueueMethods
from localcloud.tasks.redelivery import Redelivery
from localcloud.tasks.sender import HttpSender
from localcloud.tasks.side_port import SidePort
from localcloud.tasks.statistics_methods import StatisticsMethods
from localcloud.tasks.store import Store
from localcloud.tasks.targets import Targets
from localcloud.tasks.task_methods import TaskMethods

DEFAULT_PROJECT = "local-project"
DEFAULT_LOCATION = "us-central1"
CLOUD_TASKS = "google.cloud.tasks.v2.CloudTasks"
BETA_CLOUD_TASKS = "google.cloud.tasks.v2beta3.CloudTasks"
OPERATIONS = "google.longrunning.Operations"
# A batch of a hundred tasks of 100 KB is above gRPC's default of 4 MB.
MAX_MESSAGE_BYTES = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Options:
    """What a server needs to know to start."""

    files: Files = field(default_factory=Files)
    targets: Targets = field(default_factory=Targets)
    host: str = "127.0.0.1"
    port: int = 0  # 0: a free one
    http_port: int = 0
    data: Path | None = None  # None: in memory
    project: str = DEFAULT_PROJECT
    location: str = DEFAULT_LOCATION
    verbose: bool = False
    on_lost: Callable[[str], None] = lambda _: None  # told in one line if the file goes or breaks


class Service:
    """The running server. All methods belong to its event loop."""

    def __init__(
        self, options: Options, write_log: Callable[[str], None], randomness: random.Random | None = None
    ) -> None:
        """Open the store and bring the queues to what the options say. Raises BadStart."""
        loop = asyncio.get_running_loop()
        randomness = randomness or random.Random()
        self.counts = Counts()
        self.port = 0
        self.http_port = 0
        self._options = options
        clock = LoopClock(loop)
        self._store = Store(options.data, loop, clock, options.on_lost)
        self._sender = HttpSender(options.targets, options.files.services, loop, clock, randomness)
        self.faults = FaultySender(self._sender, clock)
        finished = FinishedTasks()
        log = DeliveryLog(write_log, self.counts, finished, verbose=options.verbose)
        self.broker = Broker(self._store, clock, self.faults, log, randomness)
        self.redelivery = Redelivery(finished, self._sender, clock, self.counts)
        self.broker.apply_file(
            f"projects/{options.project}/locations/{options.location}", options.files.queues
        )
        self._side_port = SidePort(self.broker, self.counts, self.faults, self.redelivery)
        self._server = grpc.aio.server(
            options=[
                ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
                ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
                # A second server on the same port must fail, not share it.
                ("grpc.so_reuseport", 0),
            ]
        )
        self._server.add_generic_rpc_handlers(self._handlers(Pages(clock)))

    async def start(self) -> None:
        """Listen on both ports and begin to dispatch. Raises BadStart if a port is taken."""
        options = self._options
        try:
            self.port = self._server.add_insecure_port(f"{options.host}:{options.port}")
        except RuntimeError as error:
            raise _taken("--port", options.host, options.port) from error
        try:
            self.http_port = await self._side_port.start(options.host, options.http_port)
        except OSError as error:
            raise _taken("--http-port", options.host, options.http_port) from error
        await self._server.start()
        self.broker.start()

    async def stop(self) -> None:
        """Stop dispatching, answer what was asked, write everything down.

        What is under way is cut off; at the next start it is delivered again.
        """
        self.broker.stop()
        await self._server.stop(0.5)
        await self._side_port.stop()
        self._sender.close()
        self._store.close()

    def _handlers(self, pages: Pages) -> Sequence[grpc.GenericRpcHandler[Any, Any]]:
        queues = QueueMethods(self.broker, pages)
        batches = BatchMethods(self.broker)
        methods = {
            **TaskMethods(self.broker, pages).methods(),
            **queues.methods(),
            **batches.methods(),
        }
        return [
            generic_handler(CLOUD_TASKS, methods, self.counts),
            generic_handler(
                BETA_CLOUD_TASKS, StatisticsMethods(self.broker, queues, pages).methods(), self.counts
            ),
            generic_handler(OPERATIONS, batches.operation_methods(), self.counts),
        ]


def _taken(option: str, host: str, port: int) -> BadStart:
    return BadStart(f"{option} {port}: cannot listen on {host}:{port}. Expected a free port; 0 picks one.")
