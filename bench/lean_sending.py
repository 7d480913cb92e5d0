"""Sending increments with as little processor time as Python allows.

The sender shares the machine with what it measures: aiohttp takes 0.3 ms for a request, this a sixth of that.
It sends bytes prepared beforehand on kept connections, one request at a time on each, and reads of an answer
the status and the body. It asks for no keys and repeats nothing; bench/sending.py does.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator, Sequence
from typing import cast
from urllib.parse import urlsplit

import uvloop

from bench.sending import Book


def send_lean(url: str, counters: Sequence[str], count: int, *, in_flight: int = 64, batch: int = 1) -> Book:
    """Send `count` increments of 1 over `counters`; returns when each is answered."""
    host = urlsplit(url)
    requests = list(_requests(host.netloc, counters, count, batch))
    return uvloop.run(_send(host.hostname or "", host.port or 80, requests, in_flight))


def _requests(host: str, counters: Sequence[str], count: int, batch: int) -> Iterator[tuple[bytes, int]]:
    """Each request, and how many increments it asks for."""
    for start in range(0, count, batch):
        if batch == 1:
            path = f"/api/counters/{counters[start % len(counters)]}/increments"
            yield _request(host, path, b'{"amount":1}'), 1
        else:
            numbers = range(start, min(start + batch, count))
            items = [{"counter": counters[number % len(counters)], "amount": 1} for number in numbers]
            yield _request(host, "/api/increments", json.dumps({"increments": items}).encode()), len(items)


def _request(host: str, path: str, body: bytes) -> bytes:
    head = f"POST {path} HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\n"
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


async def _send(host: str, port: int, requests: list[tuple[bytes, int]], in_flight: int) -> Book:
    book = Book()
    answers: list[bytes] = []
    waiting = iter(requests)
    loop = asyncio.get_running_loop()
    started = time.monotonic()
    connections = [
        (await loop.create_connection(lambda: _Connection(waiting, book, answers), host, port))[1]
        for _ in range(min(in_flight, len(requests)))
    ]
    for connection in connections:
        connection.send_next()
    await asyncio.gather(*(connection.through for connection in connections))
    book.seconds = time.monotonic() - started
    for body in answers:
        book.tasks.append(json.loads(body)["task"])
    return book


class _Connection(asyncio.Protocol):
    """Sends requests one after the other until there are no more."""

    def __init__(self, waiting: Iterator[tuple[bytes, int]], book: Book, answers: list[bytes]) -> None:
        self.through: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting = waiting
        self._book = book
        self._answers = answers
        self._transport: asyncio.Transport | None = None
        self._received = b""
        self._increments = 0
        self._sent_at = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's doesn't inherit from it

    def send_next(self) -> None:
        assert self._transport is not None
        request, self._increments = next(self._waiting, (b"", 0))
        if request:
            self._sent_at = time.monotonic()
            self._transport.write(request)
        else:
            self._transport.close()

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, separator, body = self._received.partition(b"\r\n\r\n")
        if not separator:
            return
        length = int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0])
        if len(body) < length:
            return
        self._received = b""
        self._book.latencies_ms.append((time.monotonic() - self._sent_at) * 1000)
        if head.startswith(b"HTTP/1.1 202"):
            self._book.accepted += self._increments
            self._book.amount += self._increments
            self._answers.append(body)
        else:
            self._book.refused += self._increments
            self._book.first_refusal = self._book.first_refusal or (head[:40] + body[:200]).decode()
        self._increments = 0
        self.send_next()

    def connection_lost(self, _: Exception | None) -> None:
        self._book.unclear += self._increments
        if not self.through.done():
            self.through.set_result(None)
