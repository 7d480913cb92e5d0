"""A worker with kinds of task of the tests' own, on a real Datastore, with the fast path and without."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
from localcloud.testing import FaultyProxy, TasksProcess

from counters.settings import CounterSettings
from pushtasks.delivery import Delivery
from pushtasks.task import Task
from pushtasks.worker import Worker
from tests.conftest import StandingClock

MakeWorker = Callable[..., Worker]


@pytest.fixture(params=["on", "off"])
def fast_path(request: pytest.FixtureRequest) -> str:
    """The fast path past ndb, both ways: whatever holds with it must hold without."""
    return str(request.param)


class Later:
    """Calls nothing by itself: a test says when the time has come."""

    def __init__(self) -> None:
        self.calls: list[tuple[float, Callable[[], None]]] = []

    def __call__(self, after_s: float, call: Callable[[], None]) -> None:
        self.calls.append((after_s, call))


@pytest.fixture
def later() -> Later:
    return Later()


@pytest.fixture
def make_worker(
    datastore_address: str,
    settings: CounterSettings,
    clock: StandingClock,
    fast_path: str,
    later: Later,
    monkeypatch: pytest.MonkeyPatch,
) -> MakeWorker:
    monkeypatch.setenv("DATASTORE_EMULATOR_HOST", datastore_address)

    def make(*declared: type[Task[Any]], **changed: Any) -> Worker:
        own = replace(settings, fast_path_switch=fast_path, **changed)
        return Worker(own, declared, clock=clock, call_later=later)

    return make


def delivery_of(body: bytes = b"{}", **about: Any) -> Delivery:
    about.setdefault("name", secrets.token_hex(8))
    about.setdefault("content_type", "application/json")
    return Delivery(queue="q", body=body, **about)


@pytest.fixture(scope="module")
def shared_proxy(tasks_server: TasksProcess) -> Iterator[FaultyProxy]:
    """Stands before the queue server of the module that uses it, each with queues of its own."""
    with FaultyProxy(tasks=tasks_server.address) as proxy:
        yield proxy


@pytest.fixture
def proxy(shared_proxy: FaultyProxy, tasks_server: TasksProcess) -> Iterator[FaultyProxy]:
    with tasks_server.for_one_test():
        yield shared_proxy
        shared_proxy.clear_faults()
