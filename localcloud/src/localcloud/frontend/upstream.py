"""The connections to one instance: kept open, one request at a time on each."""

from __future__ import annotations

import asyncio
import select
import time
from collections import deque
from http import HTTPStatus
from typing import cast

import httptools

from localcloud.frontend.messages import MAX_BODY_BYTES, Headers, Response

# gunicorn closes a connection after 2 s without a request; one that is older might just be closing.
_REUSE_WITHIN_SECONDS = 1.0
_CONNECT_SECONDS = 5.0
_MAX_IDLE = 128
# A program may answer without reading the request to its end, and its server then closes the connection.
# What is this small, servers read all the same (gunicorn up to 64 KB).
_SURELY_READ_BYTES = 16 * 1024


class UpstreamError(Exception):
    """The instance gave no whole answer. The text says what happened."""


class NothingSentError(UpstreamError):
    """No byte of the request can have reached the program: trying again is safe."""


class ConnectionDroppedError(UpstreamError):
    """The connection ended before the first byte of an answer; the program may have had the request."""


class ConnectionResetByInstanceError(ConnectionDroppedError):
    """The system ended the connection because the program has not read all that was sent to it."""


class AnswerTooLateError(UpstreamError):
    """The time that the platform allows a request is over; the program may still be working on it."""


class ResponseTooLargeError(UpstreamError):
    """The answer exceeds what the platform passes on."""


class InstanceConnection(asyncio.Protocol):
    """A connection to an instance."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._parser = httptools.HttpResponseParser(self)
        self._answer: asyncio.Future[Response] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._told_length: bytes | None = None
        self._is_head = False
        self._watch = select.poll()
        self.is_open = False
        self.idle_since = 0.0
        self._reset()

    def send(
        self, data: bytes, body: bytes, *, is_head: bool, answer_seconds: float
    ) -> asyncio.Future[Response]:
        """Send a request; the result is its answer, or fails with UpstreamError."""
        assert self._transport is not None
        loop = asyncio.get_running_loop()
        self._answer = loop.create_future()
        self._timer = loop.call_later(answer_seconds, self._give_up, answer_seconds)
        self._is_head = is_head
        self._transport.write(data + body if len(body) < 65536 else data)
        if len(body) >= 65536:
            self._transport.write(body)
        return self._answer

    def is_quiet(self) -> bool:
        """Is it open, with nothing to be read? If not, the instance has closed it, and reads nothing more."""
        return self.is_open and not self._watch.poll(0)

    def close(self) -> None:
        self.is_open = False
        if self._transport is not None:
            self._transport.close()

    # asyncio's callbacks

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's doesn't inherit from it
        self.is_open = True
        self._watch.register(transport.get_extra_info("socket"), select.POLLIN)

    def connection_lost(self, exc: Exception | None) -> None:
        self.is_open = False
        self._transport = None
        if self._answer is None or self._answer.done():
            return
        if self._head_complete and not self._has_length and exc is None:
            self._complete()  # an answer that ends with its connection
        elif self._has_begun:
            self._fail(UpstreamError("it closed the connection in the middle of its answer"))
        elif isinstance(exc, ConnectionResetError):
            self._fail(ConnectionResetByInstanceError("it closed the connection without an answer"))
        else:
            self._fail(ConnectionDroppedError("it closed the connection without an answer"))

    def data_received(self, data: bytes) -> None:
        if self._answer is None or self._answer.done():
            self.close()  # nobody asked
            return
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            self._fail(UpstreamError(f"its answer is not HTTP: {error}"))
            self.close()

    # The parser's callbacks

    def on_message_begin(self) -> None:
        self._has_begun = True

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self._head_complete:
            self._headers.append((name, value))

    def on_headers_complete(self) -> None:
        self._head_complete = True
        self._status = self._parser.get_status_code()
        for name, value in self._headers:
            key = name.lower()
            if key == b"content-length":
                self._has_length = True
                self._told_length = value
            elif key == b"transfer-encoding":
                self._has_length = True
        if self._is_head and self._status >= HTTPStatus.OK:
            # The parser would wait for the body that Content-Length promises; the connection ends with this.
            self._complete()
            self.close()

    def on_body(self, body: bytes) -> None:
        self._body_bytes += len(body)
        if self._body_bytes > MAX_BODY_BYTES:
            self._fail(ResponseTooLargeError(f"its answer is larger than {MAX_BODY_BYTES // 2**20} MB"))
            self.close()
        else:
            self._body.append(body)

    def on_message_complete(self) -> None:
        if self._status < HTTPStatus.OK:  # 100 Continue, 103 Early Hints: the answer is yet to come
            self._reset()
            return
        self._has_length = True
        if not self._parser.should_keep_alive():
            self.close()
        self._complete()

    def _reset(self) -> None:
        self._has_begun = False
        self._head_complete = False
        self._has_length = False
        self._told_length = None
        self._status = 0
        self._headers: Headers = []
        self._body: list[bytes] = []
        self._body_bytes = 0

    def _complete(self) -> None:
        has_no_body = self._is_head or self._status == HTTPStatus.NOT_MODIFIED
        response = Response(
            self._status, self._headers, b"".join(self._body), self._told_length if has_no_body else None
        )
        if self._timer is not None:
            self._timer.cancel()
        if self._answer is not None and not self._answer.done():
            self._answer.set_result(response)
        self._reset()

    def _give_up(self, answer_seconds: float) -> None:
        self._fail(AnswerTooLateError(f"it did not answer within {answer_seconds:g} s"))
        self.close()

    def _fail(self, error: UpstreamError) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(error)


class Instance:
    """One instance of a service: its address, its idle connections, how many requests it is answering."""

    def __init__(self, host: str, port: int) -> None:
        self.host = host
        self.port = port
        self.in_flight = 0
        self._idle: deque[InstanceConnection] = deque()

    async def request(
        self, head: bytes, body: bytes, *, is_head: bool, repeatable: bool, answer_seconds: float
    ) -> Response:
        """The answer. Raises UpstreamError.

        A connection that was kept and has been closed gets no request. One that closes at this very moment
        may: a request that is `repeatable` is then sent once more on a new one. Another fails, for the
        program may have had it.
        """
        connection = self._kept()
        if connection is not None:
            try:
                return await self._exchange(connection, head, body, is_head, answer_seconds)
            except ConnectionDroppedError:
                if not repeatable:
                    raise
        try:
            async with asyncio.timeout(_CONNECT_SECONDS):
                _, connection = await asyncio.get_running_loop().create_connection(
                    InstanceConnection, self.host, self.port
                )
        except OSError as error:  # TimeoutError is one of them
            reason = error.strerror or "too many wait already"
            raise NothingSentError(f"it does not accept connections ({reason})") from error
        return await self._exchange(connection, head, body, is_head, answer_seconds)

    def close(self) -> None:
        while self._idle:
            self._idle.pop().close()

    async def _exchange(
        self, connection: InstanceConnection, head: bytes, body: bytes, is_head: bool, answer_seconds: float
    ) -> Response:
        done = False
        try:
            response = await connection.send(head, body, is_head=is_head, answer_seconds=answer_seconds)
            done = True
        finally:
            if not done:  # failed, or given up: an answer may still come, and nobody wants it
                connection.close()
        # A refusal is the usual reason for not reading a body.
        was_read = not body or (len(body) <= _SURELY_READ_BYTES and response.status < HTTPStatus.BAD_REQUEST)
        if was_read and connection.is_open and len(self._idle) < _MAX_IDLE:
            connection.idle_since = time.monotonic()
            self._idle.append(connection)
        else:
            connection.close()
        return response

    def _kept(self) -> InstanceConnection | None:
        """The connection that was used last, if it may still be used; those that may not are closed."""
        youngest_allowed = time.monotonic() - _REUSE_WITHIN_SECONDS
        while self._idle:
            newest = self._idle.pop()
            if newest.idle_since < youngest_allowed:
                newest.close()
                self.close()  # all others are older still
            elif newest.is_quiet():
                while self._idle and not self._idle[0].is_open:
                    self._idle.popleft()
                return newest
            else:
                newest.close()
        return None
