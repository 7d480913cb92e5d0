"""A server at home that comes back is found again soon, however long it was away."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress

import pytest
from localcloud.testing.waiting import wait_until

from counters.update_counter import UpdateCounter
from pushtasks.database import Database
from pushtasks.errors import OutcomeUnknown, TaskFailure
from pushtasks.queue_control import QueueControl
from pushtasks.queues import TaskQueues
from pushtasks.settings import Settings

ATTEMPTS = 8
"""gRPC's own pauses between as many attempts are 43 s together, and 34 s at the least."""


class Unwelcoming:
    """A server that hangs up on everybody, and counts them."""

    def __init__(self) -> None:
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._socket.getsockname()[1]}"
        self.visits = 0
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        with suppress(OSError):
            while True:
                visitor, _ = self._socket.accept()
                visitor.close()
                self.visits += 1

    def close(self) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()


@pytest.fixture
def server() -> Iterator[Unwelcoming]:
    server = Unwelcoming()
    yield server
    server.close()


def tried_again(server: Unwelcoming, ask: Callable[[], object]) -> None:
    """Return once the server was tried often enough; fails if that takes too long."""

    def often() -> bool:
        with suppress(TaskFailure, OutcomeUnknown):
            ask()
        return server.visits >= ATTEMPTS

    wait_until(often, f"{ATTEMPTS} attempts to connect", 25.0)


def test_datastore_is_tried_again_every_second(server: Unwelcoming, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATASTORE_EMULATOR_HOST", server.address)
    database = Database("p")
    with database.context():
        tried_again(server, lambda: database.plain("Counter", ["a"]))


@pytest.mark.parametrize("figures", [False, True])
def test_cloud_tasks_is_tried_again_every_second(server: Unwelcoming, figures: bool) -> None:
    environ = {
        "GOOGLE_CLOUD_PROJECT": "p",
        "LOCATION_ID": "us-central1",
        "CLOUD_TASKS_EMULATOR_HOST": server.address,
    }
    settings = Settings.read(environ)
    queues = TaskQueues(settings)
    control = QueueControl(queues, UpdateCounter.queues, settings)
    tried_again(server, control.figures if figures else lambda: queues.get("name", "counter-updates-0"))
