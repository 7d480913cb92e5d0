"""One client's connection: reads requests whole, refuses the malformed, answers in order."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import cast

import httptools

from localcloud.frontend.connections import Connections
from localcloud.frontend.messages import (
    MAX_BODY_BYTES,
    Headers,
    Request,
    Response,
    encode_response,
    text_response,
)

Handle = Callable[[Request], Awaitable[Response]]

# Real service: Google's front ends refuse a head of more than about 32 KB; twice that is refused here.
_MAX_HEAD_BYTES = 64 * 1024
# What a chunked body may bring beside its content (sizes of chunks, trailers) before more of it comes.
_MAX_FRAMING_BYTES = 512 * 1024
# How long a connection waits for its client: for a next request, for more of this one, for all of it, for an
# answer to be taken.
_IDLE_SECONDS = 75.0
_STALLED_SECONDS = 60.0
_SLOW_REQUEST_SECONDS = 600.0
_LINGER_SECONDS = 1.0
# Requests that arrived while one is being answered: at most this many, of this size together.
_MAX_PIPELINED = 16
# One piece of data may bring many more before reading pauses: then the rest is refused.
_REFUSED_PIPELINED = 256
_MAX_PIPELINED_BYTES = 1024 * 1024
_BODILESS = frozenset({b"GET", b"HEAD", b"TRACE"})


class ClientConnection(asyncio.Protocol):
    """One client's connection. Requests are handled one after the other, in the order they came."""

    def __init__(self, handle: Handle, connections: Connections) -> None:
        self._handle = handle
        self._connections = connections
        self._parser = httptools.HttpRequestParser(self)
        self._transport: asyncio.Transport | None = None
        self.peer_address: tuple[str, int] | None = None
        self._waiting: deque[Request | Response] = deque()
        self._worker: asyncio.Task[None] | None = None
        self._drained: asyncio.Future[None] | None = None
        self._closing = False
        self._idle_since = self._last_activity = self._connections.clock()
        # Of bodies: received for the present request, and waiting with whole requests.
        self.held_bytes = 0
        # What the client has not yet taken of our answers, and since when it has taken nothing.
        self._untaken_bytes = 0
        self._reset()

    # The connection

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's doesn't inherit from it
        peer = transport.get_extra_info("peername")
        self.peer_address = peer[:2] if isinstance(peer, tuple) else None
        if not self._connections.admit(self):
            self._closing = True
            self._write(_too_many(), has_body=True, close=True)
            self._transport.close()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - the protocol's signature
        self._closing = True
        self._transport = None
        self.resume_writing()
        if self._worker is None:
            self._leave()

    def eof_received(self) -> bool:
        """A client that has nothing more to say may still wait for its answers."""
        self._closing = True
        return self._worker is not None

    def data_received(self, data: bytes) -> None:
        if self._closing:
            return
        self._last_activity = self._connections.clock()
        body_bytes = self._body_bytes
        if not self._in_body:
            self._head_bytes += len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            # Real service: no upgrade is offered; what follows the request can't be understood.
            self._closing = True
        except httptools.HttpParserError as error:
            if not self._closing:
                problem = str(error.__context__ or error) or "malformed"
                self._refuse(text_response(HTTPStatus.BAD_REQUEST, f"Not a valid HTTP request: {problem}"))
        if not self._closing and not self._in_body and self._head_bytes > _MAX_HEAD_BYTES:
            self._refuse(_head_too_large())
        if self._body_bytes != body_bytes or not self._in_body:
            self._framing_bytes = 0
        else:
            self._framing_bytes += len(data)
            if not self._closing and self._framing_bytes > _MAX_FRAMING_BYTES:
                self._refuse(text_response(HTTPStatus.BAD_REQUEST, "A chunked body with nothing in it."))
        waiting_bytes = self.held_bytes - len(self._body)
        if self._transport is not None and (
            len(self._waiting) > _MAX_PIPELINED or (self._waiting and waiting_bytes > _MAX_PIPELINED_BYTES)
        ):
            self._transport.pause_reading()

    def pause_writing(self) -> None:
        if self._drained is None:
            self._drained = asyncio.get_running_loop().create_future()

    def resume_writing(self) -> None:
        if self._drained is not None:
            self._drained.set_result(None)
            self._drained = None

    def close_if_idle(self, now: float) -> None:
        """Called now and then: give up connections on which nothing has moved for long."""
        if self._transport is None:
            return
        untaken = self._transport.get_write_buffer_size()
        if untaken != self._untaken_bytes:
            self._untaken_bytes, self._last_activity = untaken, now
        if untaken:
            if now - self._last_activity > _STALLED_SECONDS:
                self._give_up("its client does not take the answer")
        elif self._worker is not None:
            return
        elif not self._began:
            if now - self._idle_since > _IDLE_SECONDS:
                self._transport.close()
        elif now - self._last_activity > _STALLED_SECONDS or now - self._idle_since > _SLOW_REQUEST_SECONDS:
            self._give_up("its client does not send the rest of the request")

    def evict(self) -> None:
        """Make room for others. Only while it waits for its client: what is being answered stays."""
        self._leave()
        self._abort()

    def _give_up(self, reason: str) -> None:
        self._connections.tell(f"a connection was closed: {reason}")
        self._abort()

    def _abort(self) -> None:
        self._closing = True
        if self._transport is not None:
            self._transport.abort()

    def finish(self) -> None:
        """The server stops: close now if idle, else after the present request."""
        self._closing = True
        if self._worker is None and self._transport is not None:
            self._transport.close()

    @property
    def is_busy(self) -> bool:
        return self._worker is not None

    # The parser's callbacks

    def on_message_begin(self) -> None:
        self._began = True

    def on_url(self, url: bytes) -> None:
        self._target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self._in_body:  # a trailer is dropped, as App Engine does
            self._headers.append((name, value))

    def on_headers_complete(self) -> None:
        self._in_body = True
        self._method = self._parser.get_method()
        problem = self._problem_of_head()
        if problem is not None:
            self._refuse(problem)
        elif self._expects_continue and self._transport is not None and self._worker is None:
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def on_body(self, body: bytes) -> None:
        self._body_bytes += len(body)
        if self._closing:
            return
        if self._body_bytes > MAX_BODY_BYTES:
            self._refuse(_too_large())
        elif not self._connections.hold(self, len(body)):
            self._refuse(_too_many())
        else:
            self.held_bytes += len(body)
            self._body += body

    def on_message_complete(self) -> None:
        if self._closing:
            return
        request = Request(
            method=self._method,
            target=self._target,
            headers=self._headers,
            body=bytes(self._body),
            peer=self.peer_address[0] if self.peer_address else "",
            keeps_alive=self._may_go_on(),
        )
        if self._body_bytes and self._method in _BODILESS:
            # Real service: Google's front ends call a GET with a body malformed; so does the dev server.
            method = self._method.decode()
            self._refuse(text_response(HTTPStatus.BAD_REQUEST, f"A {method} request may not have a body."))
            return
        self._reset()
        if len(self._waiting) >= _REFUSED_PIPELINED:
            self._refuse(_too_many())
        else:
            self._enqueue(request)

    # Requests and answers

    def _may_go_on(self) -> bool:
        """May another request follow on this connection? After HTTP/1.0, which must ask for it: never."""
        parser = self._parser
        return (
            parser.should_keep_alive() and not parser.should_upgrade() and parser.get_http_version() == "1.1"
        )

    def _reset(self) -> None:
        self._began = False
        self._in_body = False
        self._expects_continue = False
        self._head_bytes = 0
        self._body_bytes = 0
        self._framing_bytes = 0
        self._method = b""
        self._target = b""
        self._headers: Headers = []
        self._body: bytearray = bytearray()

    def _problem_of_head(self) -> Response | None:
        """What makes the request unacceptable, beyond what the parser refuses by itself."""
        if self._parser.get_http_version() not in ("1.1", "1.0"):
            return text_response(
                HTTPStatus.HTTP_VERSION_NOT_SUPPORTED, "Only HTTP/1.1 and HTTP/1.0 are spoken."
            )
        # A head may come whole in one piece: then it was not measured on its way.
        if len(self._target) + sum(len(name) + len(value) for name, value in self._headers) > _MAX_HEAD_BYTES:
            return _head_too_large()
        hosts = 0
        for name, value in self._headers:
            key = name.lower()
            if key == b"host":
                hosts += 1
            elif key == b"content-length":
                if int(value) > MAX_BODY_BYTES:
                    return _too_large()
            elif key == b"transfer-encoding":
                if value.strip().lower() != b"chunked":
                    return text_response(HTTPStatus.NOT_IMPLEMENTED, "Transfer-Encoding may only be chunked.")
            elif key == b"expect":
                self._expects_continue = value.strip().lower() == b"100-continue"
        if hosts != 1 and (hosts > 1 or self._parser.get_http_version() == "1.1"):
            return text_response(HTTPStatus.BAD_REQUEST, "A request names its host once.")
        return None

    def _refuse(self, response: Response) -> None:
        """Answer after what came before, and close: what follows can't be trusted."""
        self._closing = True
        self._enqueue(response)

    def _enqueue(self, item: Request | Response) -> None:
        self._waiting.append(item)
        if self._worker is None:
            self._connections.begin_work(self)
            self._worker = asyncio.get_running_loop().create_task(self._answer_all())

    async def _answer_all(self) -> None:
        try:
            while self._waiting:
                item = self._waiting.popleft()
                if isinstance(item, Response):
                    self._write(item, has_body=True, close=True)
                    break
                response = await self._handle(item)
                self._release(len(item.body))
                if self._transport is None:
                    return
                close = not item.keeps_alive or (self._closing and not self._waiting)
                self._write(response, has_body=item.method != b"HEAD", close=close)
                if close:
                    break
                if self._drained is not None:
                    self._connections.begin_idling(self)
                    await self._drained
                    if self._transport is None:
                        return
                    self._connections.begin_work(self)
                if not self._waiting:
                    self._transport.resume_reading()
        finally:
            self._worker = None
            self._idle_since = self._last_activity = self._connections.clock()
            self._connections.begin_idling(self)
            if self._transport is None:
                self._leave()
            elif self._closing:
                self._close_gently(self._transport)

    def _leave(self) -> None:
        """The client has gone, and nothing is being done for it any more."""
        self._connections.discard(self)
        self._release(self.held_bytes)
        self._waiting.clear()
        self._body = bytearray()

    def _release(self, size: int) -> None:
        self.held_bytes -= size
        self._connections.release(size)

    def _close_gently(self, transport: asyncio.Transport) -> None:
        """Let a client that is still sending read the answer: a plain close would reset its connection."""
        if self._began and transport.can_write_eof():
            transport.write_eof()
            asyncio.get_running_loop().call_later(_LINGER_SECONDS, transport.close)
        else:
            transport.close()

    def _write(self, response: Response, *, has_body: bool, close: bool) -> None:
        if self._transport is not None:
            self._closing = self._closing or close
            self._transport.write(encode_response(response, has_body=has_body, close=close))


def _head_too_large() -> Response:
    return text_response(
        HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
        f"The request's head is larger than {_MAX_HEAD_BYTES} bytes.",
    )


def _too_many() -> Response:
    return text_response(
        HTTPStatus.SERVICE_UNAVAILABLE,
        "Too many requests at once: try again in a moment.",
        (b"Retry-After", b"1"),
    )


def _too_large() -> Response:
    # Real service: 413 above 32 MB (dev server: the same).
    limit = MAX_BODY_BYTES // (1024 * 1024)
    return text_response(
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"A request's body may hold at most {limit} MB."
    )
