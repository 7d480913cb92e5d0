"""A service in memory, with a clock that stands still; and a real server with its clients."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from google.cloud import ndb
from localcloud.datastore import DatastoreServer
from localcloud.datastore.service import Service, Settings

from tests.datastore.api import PROJECT, Api, StandingClock
from tests.datastore.clients import datastore


@pytest.fixture
def clock() -> StandingClock:
    return StandingClock()


@pytest.fixture
def make_api(clock: StandingClock) -> Iterator[Callable[..., Api]]:
    """Makes services in memory with any settings; short waits for locks unless told otherwise."""
    services: list[Service] = []

    def make(**settings: Any) -> Api:
        defaults: dict[str, Any] = {"lock_wait_seconds": 0.3, "politeness_seconds": 0.05}
        given = {"clock": clock, "chance": random.Random(4), **defaults, **settings}
        services.append(Service(Settings(**given)))
        return Api(services[-1])

    yield make
    for service in services:
        service.close()


@pytest.fixture
def api(make_api: Callable[..., Api]) -> Api:
    return make_api()


@pytest.fixture(scope="session")
def shared_server() -> Iterator[DatastoreServer]:
    with DatastoreServer(http_port=0) as server:
        yield server


@pytest.fixture
def server(shared_server: DatastoreServer) -> DatastoreServer:
    """A real server, empty."""
    shared_server.reset()
    return shared_server


@pytest.fixture
def client(server: DatastoreServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.setenv("DATASTORE_EMULATOR_HOST", server.address)
    found = datastore.Client(project=PROJECT)
    yield found
    found.close()


@pytest.fixture
def ndb_client(server: DatastoreServer, monkeypatch: pytest.MonkeyPatch) -> ndb.Client:
    monkeypatch.setenv("DATASTORE_EMULATOR_HOST", server.address)
    return ndb.Client(project=PROJECT)
