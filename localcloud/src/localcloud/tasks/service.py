"""One server, put together: the gRPC port, the side port, the queues and the store, on one event loop."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import grpc

from localcloud.cron.last_runs import LastRuns
from localcloud.cron.scheduler import Scheduler
from localcloud.cron.sender import HttpJobSender
from localcloud.tasks.attempts import AttemptHistory
from localcloud.tasks.bad_start import BadStart
from localcloud.tasks.batch_methods import BatchMethods
from localcloud.tasks.beta_methods import BetaMethods
from localcloud.tasks.broker import Broker
from localcloud.tasks.clock import LoopClock, WallClock
from localcloud.tasks.counts import Counts
from localcloud.tasks.delivery_log import DeliveryLog
from localcloud.tasks.faults import FaultySender
from localcloud.tasks.files import Files
from localcloud.tasks.finished import FinishedTasks
from localcloud.tasks.grpc_methods import Method, generic_handler
from localcloud.tasks.http_api import HttpApi
from localcloud.tasks.location_methods import LocationMethods
from localcloud.tasks.pages import Pages
from localcloud.tasks.queue_methods import QueueMethods
from localcloud.tasks.redelivery import Redelivery
from localcloud.tasks.sender import HttpSender
from localcloud.tasks.service_routing import ServiceRouting
from localcloud.tasks.side_port import MAX_MESSAGE_BYTES, SidePort
from localcloud.tasks.statistics_methods import StatisticsMethods
from localcloud.tasks.store import Store
from localcloud.tasks.targets import Targets
from localcloud.tasks.task_methods import TaskMethods

DEFAULT_PROJECT = "local-project"
DEFAULT_LOCATION = "us-central1"
CLOUD_TASKS = "google.cloud.tasks.v2.CloudTasks"
BETA_CLOUD_TASKS = "google.cloud.tasks.v2beta3.CloudTasks"
OPERATIONS = "google.longrunning.Operations"
LOCATIONS = "google.cloud.location.Locations"


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
    on_lost: Callable[[str], None] = lambda _: None  # called with one line if the file goes or breaks


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
        clock = self._clock = LoopClock(loop)
        self._store = Store(options.data, loop, clock, options.on_lost)
        files, targets = options.files, options.targets
        # One address for all services: then every name is right.
        running = () if targets.fallback else tuple(targets.services)
        self._routing = ServiceRouting(running, files.dispatch, options.project)
        self._sender = HttpSender(targets, files.services, self._routing, loop, clock, randomness)
        self.faults = FaultySender(self._sender, clock)
        finished = FinishedTasks()
        attempts = AttemptHistory()
        log = DeliveryLog(write_log, self.counts, finished, attempts, verbose=options.verbose)
        self.given_up = log.given_up
        self.broker = Broker(self._store, clock, self.faults, log, randomness)
        self.redelivery = Redelivery(finished, self._sender, clock, self.counts)
        self.broker.apply_file(
            f"projects/{options.project}/locations/{options.location}", options.files.queues
        )
        self.cron = Scheduler(
            files.cron,
            HttpJobSender(self._sender, randomness),
            WallClock(loop),
            LastRuns(options.data and options.data.with_name("cron.json"), files.cron, write_log),
            write_log,
        )
        services = self._methods()
        shared = {**services[OPERATIONS], **services[LOCATIONS]}
        api = HttpApi(
            {"v2": {**services[CLOUD_TASKS], **shared}, "v2beta3": {**services[BETA_CLOUD_TASKS], **shared}},
            self.counts,
        )
        self._side_port = SidePort(
            self.broker,
            self.counts,
            self.faults,
            self.redelivery,
            self.cron,
            self.given_up,
            attempts,
            api,
        )
        self._server = grpc.aio.server(
            options=[
                ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
                ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
                # A second server on the same port must fail, not share it.
                ("grpc.so_reuseport", 0),
            ]
        )
        self._server.add_generic_rpc_handlers(
            [generic_handler(name, methods, self.counts) for name, methods in services.items()]
        )

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
        self.cron.start()

    def remarks(self) -> list[str]:
        """What a person should know who has just started the server: one line each."""
        routing = self._routing
        wanted = {
            f"queue.yaml, queue {queue_id}": config.routing.service
            for queue_id, config in self._options.files.queues.items()
            if config.routing is not None
        } | {f"cron.yaml, {job.url}": job.service for job in self._options.files.cron}
        return [
            f"{where}: there is no service {service!r} here; {routing.resolve(service)!r} gets the requests, "
            "as on App Engine"
            for where, service in wanted.items()
            if not routing.runs(service)
        ]

    async def stop(self) -> None:
        """Stop dispatching, answer what was asked, write everything down.

        What is under way is cut off; at the next start it is delivered again.
        """
        self.cron.stop()
        self.broker.stop()
        await self._server.stop(0.5)
        await self._side_port.stop()
        self._sender.close()
        self._store.close()

    def _methods(self) -> dict[str, Mapping[str, Method]]:
        """The methods of each gRPC service, by their names."""
        pages = Pages(self._clock)
        queues = QueueMethods(self.broker, pages)
        tasks = TaskMethods(self.broker, pages)
        batches = BatchMethods(self.broker)
        statistics = StatisticsMethods(self.broker, queues, pages)
        return {
            CLOUD_TASKS: {**tasks.methods(), **queues.methods(), **batches.methods()},
            BETA_CLOUD_TASKS: BetaMethods(self.broker, queues, tasks, statistics).methods(),
            OPERATIONS: batches.operation_methods(),
            LOCATIONS: LocationMethods(self.broker).methods(),
        }


def _taken(option: str, host: str, port: int) -> BadStart:
    return BadStart(f"{option} {port}: cannot listen on {host}:{port}. Expected a free port; 0 picks one.")
