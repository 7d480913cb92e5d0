"""A console in front of a real Datastore and a real Cloud Tasks."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from localcloud.console.calls import Calls
from localcloud.console.datastore import Datastore
from localcloud.console.keys import Database
from localcloud.console.serving import ConsoleServer
from localcloud.console.surroundings import Surroundings
from localcloud.datastore.server import DatastoreServer
from localcloud.tasks import TasksServer
from localcloud.tasks.clock import MILLISECOND_US
from localcloud.tasks.queue_config import QueueConfig
from localcloud.tasks.retry import RetryPolicy

from tests.console.visitor import Visitor
from tests.tasks.harness import Handler

PROJECT = "local-project"
QUEUE = QueueConfig(
    rate_per_second=500,
    burst=100,
    max_concurrent=50,
    retry=RetryPolicy(min_backoff_us=10 * MILLISECOND_US, max_backoff_us=20 * MILLISECOND_US),
)


@pytest.fixture(scope="session")
def datastore_server() -> Iterator[DatastoreServer]:
    with DatastoreServer(http_port=0) as server:
        yield server


@pytest.fixture
def handler() -> Iterator[Handler]:
    handler = Handler()
    handler.start()
    yield handler
    handler.close()


@pytest.fixture
def tasks_server(handler: Handler) -> Iterator[TasksServer]:
    with TasksServer(queues={"q": QUEUE}, targets=[handler.url], project=PROJECT) as server:
        yield server


@pytest.fixture
def datastore(datastore_server: DatastoreServer) -> Iterator[Datastore]:
    """What the console itself asks with; empty at first."""
    datastore_server.reset()
    calls = Calls("Datastore", datastore_server.address)
    yield Datastore(calls)
    calls.close()


@pytest.fixture
def where() -> Database:
    return Database(PROJECT)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """The data folder."""
    (tmp_path / "data" / "logs").mkdir(parents=True)
    return tmp_path / "data"


@pytest.fixture
def visitor(datastore: Datastore, datastore_server: DatastoreServer, data: Path) -> Iterator[Visitor]:
    """At a console whose Cloud Tasks does not run."""
    around = Surroundings(data, PROJECT, "us-central1", datastore_server.http_address)
    with ConsoleServer(_listen(), around, datastore_server.address, "127.0.0.1:1") as console:
        yield Visitor(console.url)


@pytest.fixture
def tasks_visitor(
    datastore_server: DatastoreServer, tasks_server: TasksServer, data: Path
) -> Iterator[Visitor]:
    """At a console in front of both."""
    around = Surroundings(
        data, PROJECT, "us-central1", datastore_server.http_address, tasks_server.http_address
    )
    with ConsoleServer(_listen(), around, datastore_server.address, tasks_server.address) as console:
        yield Visitor(console.url)


@pytest.fixture
def foreign_visitor(datastore: Datastore, datastore_server: DatastoreServer, data: Path) -> Iterator[Visitor]:
    """At a console in front of somebody else's servers: nothing but the API is there."""
    around = Surroundings(data, PROJECT, "us-central1")
    with ConsoleServer(_listen(), around, datastore_server.address, "127.0.0.1:1") as console:
        yield Visitor(console.url)


def _listen() -> socket.socket:
    return socket.create_server(("127.0.0.1", 0))
