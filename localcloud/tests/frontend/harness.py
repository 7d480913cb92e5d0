"""A front end on a real socket, and an instance behind it that does as the test says."""

from __future__ import annotations

import asyncio
import http.client
import socket
import struct
import threading
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import uvloop
from localcloud.frontend.balancing import Balancer
from localcloud.frontend.connections import Connections
from localcloud.frontend.gateway import Gateway
from localcloud.frontend.headers import RequestHeaders
from localcloud.frontend.identity import COOKIE_NAME, Sessions, User
from localcloud.frontend.server import Server
from localcloud.frontend.upstream import Instance
from localcloud.routing import Routes

T = TypeVar("T")

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


@dataclass
class Received:
    """A request as it reached the instance."""

    head: bytes
    body: bytes

    @property
    def line(self) -> str:
        return self.head.split(b"\r\n", 1)[0].decode()

    @property
    def headers(self) -> list[tuple[str, str]]:
        lines = self.head.decode("latin-1").split("\r\n")[1:]
        return [(name, value.strip()) for name, _, value in (line.partition(":") for line in lines if line)]

    def values(self, name: str) -> list[str]:
        """All values whose name a WSGI server takes for `name`."""
        wanted = name.lower().replace("_", "-")
        return [value for key, value in self.headers if key.lower().replace("_", "-") == wanted]


@dataclass
class FakeInstance:
    """Answers with `answer(request)`; None: closes the connection without a word."""

    answer: Callable[[Received], Awaitable[bytes | None]] | None = None
    # Answers before it has read the body, and closes the connection a little later.
    answer_early: Callable[[Received], Awaitable[bytes | None]] | None = None
    # How many of the next connections are reset, as those are that a stopping instance has not accepted yet.
    resets: int = 0
    received: list[Received] = field(default_factory=list)
    connections: int = 0
    port: int = 0
    _server: asyncio.Server | None = None

    async def start(self, port: int = 0) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        if self._server is not None:
            self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                if self.resets:
                    self.resets -= 1
                    linger = struct.pack("ii", 1, 0)
                    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                    break
                request = Received(head[:-4], b"")
                if self.answer_early is not None:
                    writer.write(await self.answer_early(request) or b"")
                    await asyncio.sleep(0.05)
                    break
                length = request.values("Content-Length")
                request.body = await reader.readexactly(int(length[0])) if length else b""
                self.received.append(request)
                answer = await self.answer(request) if self.answer else OK
                if answer is None:
                    break
                writer.write(answer)
                await writer.drain()
                if b"Connection: close" in answer or b"HTTP/1.0" in answer:
                    break
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


class FrontEnd:
    """A front end with fake instances, on a loop in a thread of its own."""

    def __init__(
        self,
        routes: Routes,
        folder: Path,
        *,
        instances: Mapping[str, int] | None = None,
        pending_seconds: float = 1.0,
        answer_seconds: float = 5.0,
        allows_any_host: bool = False,
        most_connections: int = 100,
        most_held_bytes: int = 256 * 1024 * 1024,
    ) -> None:
        self.instances = {
            name: [FakeInstance() for _ in range((instances or {}).get(name, 1))] for name in routes.services
        }
        self.sessions = Sessions(b"k" * 32)
        self.port = 0
        self.gateway: Gateway | None = None
        self._routes = routes
        self._folder = folder
        self._limits = (pending_seconds, answer_seconds)
        self._any_host = allows_any_host
        self._loop = uvloop.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._server: Server | None = None
        self.log: list[str] = []
        self._seconds_later = 0.0
        self.connections = Connections(
            most_connections,
            most_held_bytes,
            log=self.log.append,
            clock=lambda: time.monotonic() + self._seconds_later,
        )

    def __enter__(self) -> FrontEnd:
        self._thread.start()
        self.run(self._start())
        return self

    def __exit__(self, *_: object) -> None:
        self.run(self._stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def run(self, what: Awaitable[T]) -> T:
        async def wait() -> T:
            return await what

        return asyncio.run_coroutine_threadsafe(wait(), self._loop).result(20)

    def let_pass(self, seconds: float) -> None:
        """The front end's clock goes on by so much; then it looks for connections that wait for too long."""

        async def close_idle() -> None:
            self._seconds_later += seconds
            assert self._server is not None
            self._server.close_idle()

        self.run(close_idle())

    def instance(self, service: str = "default", number: int = 0) -> FakeInstance:
        return self.instances[service][number]

    def answer_with(self, *answers: bytes | None, service: str = "default") -> None:
        """The instance's next answers; the last one from then on."""
        left = list(answers)

        async def answer(_: Received) -> bytes | None:
            return left.pop(0) if len(left) > 1 else left[0]

        self.instance(service).answer = answer

    def request(
        self,
        method: str = "GET",
        path: str = "/",
        body: bytes | None = None,
        *,
        host: str | None = None,
        user: User | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        sent = {"Host": host or f"localhost:{self.port}", **(headers or {})}
        if user is not None:
            sent["Cookie"] = f"{COOKIE_NAME}={self.sessions.issue(user)}"
        try:
            connection.request(method, path, body, sent)
            response = connection.getresponse()
            return Answer(response.status, response.getheaders(), response.read())
        finally:
            connection.close()

    def raw(self, data: bytes, *, half_close: bool = True) -> bytes:
        """Everything that comes back for these bytes until the connection ends."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=10) as client:
            client.sendall(data)
            if half_close:
                client.shutdown(socket.SHUT_WR)
            answer = b""
            try:
                while piece := client.recv(65536):
                    answer += piece
            except ConnectionResetError:
                pass
            return answer

    async def _start(self) -> None:
        balancers = {}
        for name, instances in self.instances.items():
            for instance in instances:
                await instance.start()
            balancers[name] = Balancer([Instance("127.0.0.1", one.port) for one in instances], *self._limits)
        self.gateway = Gateway(
            routes=self._routes,
            folders=dict.fromkeys(self.instances, self._folder),
            balancers=balancers,
            sessions=self.sessions,
            headers=RequestHeaders("localhost:8080"),
            log_folder=self._folder / "logs",
            allows_any_host=self._any_host,
        )
        self._server = Server(self.gateway.handle, self.connections)
        self.port = await self._server.start("127.0.0.1", 0)

    async def _stop(self) -> None:
        assert self._server is not None
        assert self.gateway is not None
        await self._server.stop(1.0)
        for balancer in self.gateway.balancers.values():
            balancer.close()
        for instances in self.instances.values():
            for instance in instances:
                await instance.stop()
        left = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)
        await asyncio.sleep(0.01)  # lets the transports report that they are closed


@dataclass
class Answer:
    """What came back to the client."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode()

    def header(self, name: str) -> str | None:
        return next((value for key, value in self.headers if key.lower() == name.lower()), None)
