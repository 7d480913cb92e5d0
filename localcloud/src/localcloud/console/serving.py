"""The console inside a program: its own process, or a test."""

from __future__ import annotations

import secrets
import socket
import threading
import time
from types import TracebackType
from typing import Self

from localcloud.console.application import Application
from localcloud.console.calls import Calls
from localcloud.console.console import Console
from localcloud.console.datastore import Datastore
from localcloud.console.pages import Pages
from localcloud.console.server import Server
from localcloud.console.surroundings import Surroundings
from localcloud.console.tasks import Tasks
from localcloud.http_guard import HttpGuard


class ConsoleServer:
    """A console on a socket that listens: `start()`, `url`, `close()`.

    `datastore` and `tasks` are the HOST:PORT of the servers that it looks into.
    """

    def __init__(self, listening: socket.socket, around: Surroundings, datastore: str, tasks: str) -> None:
        host, port = listening.getsockname()[:2]
        self.address = f"{host}:{port}"
        self.url = f"http://{self.address}"
        self._calls = (Calls("Datastore", datastore), Calls("Cloud Tasks", tasks))
        token = secrets.token_urlsafe(16)
        console = Console(
            around,
            Datastore(self._calls[0]),
            Tasks(self._calls[1], around.tasks_http),
            Pages(token, around.project),
        )
        self._application = Application(console, HttpGuard(host, port), token)
        self._server = Server(listening, self._application.admit, self._application.answer)
        self._thread = threading.Thread(
            target=self._server.serve_forever,
            kwargs={"poll_interval": 0.1},
            name="localcloud.console",
            daemon=True,
        )

    def start(self) -> Self:
        self._thread.start()
        return self

    @property
    def idle_seconds(self) -> float:
        """How long ago the last request came."""
        return time.monotonic() - self._application.last_asked

    def close(self) -> None:
        """Stop listening; what is under way is cut off."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
        for calls in self._calls:
            calls.close()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
