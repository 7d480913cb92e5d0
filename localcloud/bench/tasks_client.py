"""What a delivery costs the processor with the dispatcher's own HTTP client, and with aiohttp's.

`python -m bench.tasks_client` sends the same requests, 64 at once, to the same trivial handler with both, in
turns.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import aiohttp
import uvloop
from localcloud.tasks.http_client import Pool
from localcloud.tasks.outcome import Outcome

ROOT = Path(__file__).parents[1]
AT_ONCE = 64
BODY = b'{"counter": "visits", "amount": 1}'
HEADERS = {"X-AppEngine-QueueName": "q", "X-AppEngine-TaskName": "t", "Content-Type": "application/json"}


async def with_our_own(port: int, count: int) -> None:
    """`count` requests with the dispatcher's client."""
    pool = Pool("127.0.0.1", port)
    head = f"POST /work HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n"
    head += "".join(f"{name}: {value}\r\n" for name, value in HEADERS.items())
    request = f"{head}Content-Length: {len(BODY)}\r\n\r\n".encode() + BODY
    finished: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    left = count

    def done(outcome: Outcome) -> None:
        nonlocal left
        assert outcome.is_success
        left -= 1
        if left >= AT_ONCE:
            pool.send(request, done)
        elif left == 0:
            finished.set_result(None)

    for _ in range(AT_ONCE):
        pool.send(request, done)
    await finished
    pool.close()


async def with_aiohttp(port: int, count: int) -> None:
    """`count` requests with aiohttp's client."""
    url = f"http://127.0.0.1:{port}/work"
    numbers = iter(range(count))
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:

        async def work() -> None:
            for _ in numbers:
                async with session.post(url, data=BODY, headers=HEADERS) as response:
                    assert response.status == 200
                    await response.read()

        await asyncio.gather(*(work() for _ in range(AT_ONCE)))


def milliseconds_each(client: Callable[[int, int], Awaitable[None]], port: int, count: int) -> float:
    """Processor time of this process for one request."""

    async def run() -> None:
        await client(port, count)

    before = time.process_time()
    uvloop.run(run())
    return (time.process_time() - before) / count * 1000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=5000)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    command = [sys.executable, str(ROOT / "bench" / "tasks_handler.py")]
    handler = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert handler.stdout is not None
    port = int(handler.stdout.readline())
    clients = {"our own": with_our_own, "aiohttp": with_aiohttp}
    costs: dict[str, list[float]] = {name: [] for name in clients}
    for _ in range(options.rounds):
        for name, client in clients.items():
            costs[name].append(milliseconds_each(client, port, options.requests))
    handler.kill()
    handler.wait()
    for name, each in costs.items():
        print(f"{name}: {statistics.median(each):.3f} ms of processor time a request (median of {len(each)})")


if __name__ == "__main__":
    main()
