"""A handler, a server that delivers to it, and the official client."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from localcloud.tasks import TasksServer
from localcloud.tasks.clock import MILLISECOND_US, SECOND_US
from localcloud.tasks.queue_config import QueueConfig
from localcloud.tasks.retry import RetryPolicy

from tests.tasks.harness import Client, Handler, client_of

# Retries soon, so that a test that fails an attempt need not wait.
QUICK = QueueConfig(
    rate_per_second=500,
    burst=100,
    max_concurrent=50,
    retry=RetryPolicy(min_backoff_us=10 * MILLISECOND_US, max_backoff_us=SECOND_US),
)
StartServer = Callable[..., TasksServer]


@pytest.fixture
def handler() -> Iterator[Handler]:
    handler = Handler()
    handler.start()
    yield handler
    handler.close()


@pytest.fixture
def start_server(handler: Handler) -> Iterator[StartServer]:
    """Starts servers that end with the test; each has the queue `q` and sends everything to the handler."""
    servers: list[TasksServer] = []

    def start(**changes: Any) -> TasksServer:
        settings: dict[str, Any] = {"queues": {"q": QUICK}, "targets": [handler.url], **changes}
        server = TasksServer(**settings)
        servers.append(server)
        return server.start()

    yield start
    for server in servers:
        server.close()


@pytest.fixture
def server(start_server: StartServer) -> TasksServer:
    return start_server()


@pytest.fixture
def client(server: TasksServer) -> Iterator[Client]:
    with client_of(server.address) as client:
        yield client


@pytest.fixture
def queue(server: TasksServer) -> str:
    """The full name of the queue `q`."""
    return f"{server.location_name}/queues/q"
