"""The HTTP/1.1 client that delivers: only what a task needs, because this is what the server does most.

A general client costs five times as much per request (measured: bench/tasks_client.py). This one knows one
address per pool, keeps its connections open, sends one request at a time on each, and of the answer wants the
status.
"""

import asyncio
import ssl
from collections.abc import Callable
from typing import cast

from localcloud.tasks.http_response import BadResponse, ResponseParser
from localcloud.tasks.outcome import Outcome

# Servers close idle connections (gunicorn after 2 s); one that is older than this may be closed as we send.
MAX_IDLE_SECONDS = 1.0
MAX_IDLE_CONNECTIONS = 512

Done = Callable[[Outcome], None]


class Exchange:
    """One request and its answer. `cancel` stops listening for it and closes its connection."""

    __slots__ = (
        "_connecting",
        "_connection",
        "_done",
        "_is_over",
        "_pool",
        "is_head",
        "is_retried",
        "request",
    )

    def __init__(self, pool: "Pool", request: bytes, is_head: bool, done: Done) -> None:
        self.request = request
        self.is_head = is_head
        self.is_retried = False
        self._pool = pool
        self._done = done
        self._is_over = False
        self._connection: _Connection | None = None
        self._connecting: asyncio.Task[None] | None = None

    def cancel(self) -> None:
        if not self._is_over:
            self._over()
            if self._connecting is not None:
                self._connecting.cancel()
            if self._connection is not None:
                self._connection.close()

    def finish(self, outcome: Outcome) -> None:
        """Tell the outcome, once."""
        if not self._is_over:
            self._over()
            self._done(outcome)

    def start(self, connection: "_Connection") -> None:
        self._connection = connection
        self._connecting = None
        connection.send(self)

    def connect(self) -> None:
        self._connecting = asyncio.get_running_loop().create_task(self._pool.connect(self))

    def _over(self) -> None:
        self._is_over = True
        self._pool.forget(self)


class Pool:
    """Connections to one host and port."""

    def __init__(self, host: str, port: int, tls: ssl.SSLContext | None = None) -> None:
        self.host = host
        self.port = port
        self._tls = tls
        self._exchanges: set[Exchange] = set()
        self._idle: list[tuple[_Connection, float]] = []

    def send(self, request: bytes, done: Done, *, is_head: bool = False) -> Exchange:
        """Send `request`, a whole HTTP request, and call `done` with the outcome."""
        exchange = Exchange(self, request, is_head, done)
        self._exchanges.add(exchange)
        self._start(exchange)
        return exchange

    @property
    def in_flight(self) -> int:
        """How many requests wait for their answers."""
        return len(self._exchanges)

    def forget(self, exchange: Exchange) -> None:
        """The exchange is over."""
        self._exchanges.discard(exchange)

    def give_back(self, connection: "_Connection") -> None:
        """A connection whose answer is complete may serve the next request."""
        if len(self._idle) < MAX_IDLE_CONNECTIONS:
            self._idle.append((connection, asyncio.get_running_loop().time()))
        else:
            connection.close()

    def drop(self, connection: "_Connection") -> None:
        """An idle connection was closed by the other side."""
        self._idle = [entry for entry in self._idle if entry[0] is not connection]

    def resend(self, exchange: Exchange) -> None:
        """Once more, on a fresh connection: the reused one turned out to be closed."""
        exchange.is_retried = True
        exchange.connect()

    def close(self) -> None:
        """Close all connections; `done` is not called for what is under way."""
        for exchange in list(self._exchanges):
            exchange.cancel()
        self._close_idle()

    def _close_idle(self) -> None:
        for connection, _ in self._idle:
            connection.close()
        self._idle.clear()

    async def connect(self, exchange: Exchange) -> None:
        loop = asyncio.get_running_loop()
        try:
            _, connection = await loop.create_connection(
                lambda: _Connection(self), self.host, self.port, ssl=self._tls
            )
        except OSError as error:
            reason = f"no connection to {self.host}:{self.port}: {_reason(error)}"
            exchange.finish(Outcome(None, reason, is_unsent=True))
            return
        exchange.start(connection)

    def _start(self, exchange: Exchange) -> None:
        oldest = asyncio.get_running_loop().time() - MAX_IDLE_SECONDS
        if self._idle:
            connection, since = self._idle.pop()
            if since >= oldest:
                exchange.start(connection)
                return
            # The last one in was the freshest: all others are older still.
            connection.close()
            self._close_idle()
        exchange.connect()


class _Connection(asyncio.Protocol):
    """One connection of a pool: idle, or busy with one exchange."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._exchange: Exchange | None = None
        self._parser: ResponseParser | None = None
        self._transport: asyncio.Transport | None = None
        self._was_used = False
        self._has_answer = False

    def send(self, exchange: Exchange) -> None:
        assert self._transport is not None
        self._exchange = exchange
        self._parser = ResponseParser(is_head=exchange.is_head)
        self._has_answer = False
        self._transport.write(exchange.request)

    def close(self) -> None:
        self._exchange = None
        if self._transport is not None:
            # Not close(): that would wait for a target that does not read.
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are not subclasses of asyncio's.
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        exchange, parser = self._exchange, self._parser
        if exchange is None or parser is None:
            # An answer to nothing.
            self._pool.drop(self)
            self.close()
            return
        self._has_answer = True
        try:
            parser.feed(data)
        except BadResponse as error:
            self._fail(exchange, str(error))
            return
        if parser.is_complete:
            self._complete(exchange, parser)

    def connection_lost(self, _: Exception | None) -> None:
        exchange, parser = self._exchange, self._parser
        if exchange is None or parser is None:
            self._pool.drop(self)
            return
        if self._was_used and not self._has_answer and not exchange.is_retried:
            # Closed by the other side while it was idle, most likely. If the request did arrive, it arrives
            # twice: a queue delivers at least once.
            self._exchange = None
            self._pool.resend(exchange)
            return
        try:
            parser.end()
        except BadResponse as error:
            self._fail(exchange, str(error))
            return
        self._complete(exchange, parser)

    def _complete(self, exchange: Exchange, parser: ResponseParser) -> None:
        self._exchange = None
        self._was_used = True
        if parser.keeps_alive:
            self._pool.give_back(self)
        else:
            self.close()
        exchange.finish(Outcome(parser.status, "", parser.retry_after_seconds))

    def _fail(self, exchange: Exchange, reason: str) -> None:
        self.close()
        exchange.finish(Outcome(None, f"{self._pool.host}:{self._pool.port}: {reason}"))


def _reason(error: OSError) -> str:
    return (error.strerror or str(error) or type(error).__name__).lower()
