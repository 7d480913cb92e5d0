"""Sending increments to a default service, many at a time, and keeping the books of what it accepted."""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import aiohttp

_RETRY_PAUSE_S = 0.2


@dataclass
class Book:
    """What was sent and what was answered."""

    accepted: int = 0
    amount: int = 0
    tasks: list[str] = field(default_factory=list)
    """One for each request."""
    refused: int = 0
    unclear: int = 0
    repeated: int = 0
    """Requests sent again under the same Idempotency-Key, because an answer was lost or was a refusal."""
    seconds: float = 0.0
    latencies_ms: list[float] = field(default_factory=list)
    first_refusal: str = ""


@dataclass(frozen=True)
class Plan:
    """Which increments to send: `count` of them, over `counters`, `in_flight` at a time."""

    url: str
    count: int
    counters: tuple[str, ...]
    in_flight: int = 64
    batch: int = 1
    """Increments in one request; 1 uses the single API."""
    keyed: bool = False
    """With Idempotency-Keys: what gets no clear answer is repeated until it does."""
    patience_s: float = 60.0
    seed: int = 1


async def send(plan: Plan, progress: Callable[[int], object] = bool) -> Book:
    """Send the planned increments; returns when each has a final answer."""
    book = Book()
    randomness = random.Random(plan.seed)
    run = f"{time.time_ns():x}"
    increments = [
        (plan.counters[number % len(plan.counters)], randomness.choice((1, 2, 3, 5, -1)))
        for number in range(plan.count)
    ]
    batches = [increments[start : start + plan.batch] for start in range(0, plan.count, plan.batch)]
    numbers = iter(range(len(batches)))
    connector = aiohttp.TCPConnector(limit=plan.in_flight, force_close=False)
    started = time.monotonic()

    async def sender(session: aiohttp.ClientSession) -> None:
        for number in numbers:
            key = f"{run}-{number}" if plan.keyed else None
            await _send_batch(session, plan, batches[number], key, book)
            progress(book.accepted + book.refused + book.unclear)

    async with aiohttp.ClientSession(connector=connector) as session:
        await asyncio.gather(*(sender(session) for _ in range(min(plan.in_flight, len(batches)))))
    book.seconds = time.monotonic() - started
    return book


async def _send_batch(
    session: aiohttp.ClientSession, plan: Plan, batch: list[tuple[str, int]], key: str | None, book: Book
) -> None:
    if plan.batch == 1:
        [(counter, amount)] = batch
        url = f"{plan.url}/api/counters/{counter}/increments"
        body = json.dumps({"amount": amount}).encode()
    else:
        url = f"{plan.url}/api/increments"
        body = json.dumps(
            {"increments": [{"counter": counter, "amount": amount} for counter, amount in batch]}
        ).encode()
    headers = {"Content-Type": "application/json"}
    if key is not None:
        headers["Idempotency-Key"] = key
    deadline = time.monotonic() + plan.patience_s
    while True:
        started = time.monotonic()
        status, answer = await _post(session, url, body, headers)
        if status == 202:
            book.latencies_ms.append((time.monotonic() - started) * 1000)
            book.accepted += len(batch)
            book.amount += sum(amount for _, amount in batch)
            book.tasks.append(json.loads(answer)["task"])
            return
        if 400 <= status < 500:
            book.refused += len(batch)
            book.first_refusal = book.first_refusal or f"{status}: {answer.decode(errors='replace')[:300]}"
            return
        if key is None or time.monotonic() > deadline:
            book.unclear += len(batch)
            book.first_refusal = book.first_refusal or f"{status}: {answer.decode(errors='replace')[:300]}"
            return
        book.repeated += len(batch)
        await asyncio.sleep(_RETRY_PAUSE_S)


async def _post(
    session: aiohttp.ClientSession, url: str, body: bytes, headers: dict[str, str]
) -> tuple[int, bytes]:
    """Status and body; status 0 if there was no answer."""
    try:
        async with session.post(url, data=body, headers=headers) as answer:
            return answer.status, await answer.read()
    except (aiohttp.ClientError, ConnectionError, TimeoutError) as error:
        return 0, str(error).encode()
