"""How fast the local Cloud Tasks is: creations, batches, deliveries, and the processor time that each costs.

`python bench/tasks.py` runs the server, a trivial handler and the load in processes of their own and prints
one line for each measurement. `--seconds` is the length of each; `--data FILE` keeps the tasks in a file (the
default is a temporary one), `--in-memory` does not.
"""

import argparse
import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import psutil
import uvloop
from google.cloud.tasks_v2.types import cloudtasks

ROOT = Path(__file__).parents[1]
LOCATION = "projects/local-project/locations/us-central1"
QUEUES = 4
CREATE = "/google.cloud.tasks.v2.CloudTasks/CreateTask"
BATCH_CREATE = "/google.cloud.tasks.v2.CloudTasks/BatchCreateTasks"
PAUSE = "/google.cloud.tasks.v2.CloudTasks/PauseQueue"
RESUME = "/google.cloud.tasks.v2.CloudTasks/ResumeQueue"
CreateTaskRequest = cloudtasks.CreateTaskRequest.pb()
BatchCreateTasksRequest = cloudtasks.BatchCreateTasksRequest.pb()

Call = Callable[[bytes], Awaitable[bytes]]


@dataclass(frozen=True)
class Server:
    """The running server: its address, its side port's address, its process."""

    address: str
    http_address: str
    process: psutil.Process

    def cpu_seconds(self) -> float:
        times = self.process.cpu_times()
        return float(times.user + times.system)


class Load:
    """Makes calls from several channels, each a connection of its own."""

    def __init__(self, server: Server, channels: int = 4) -> None:
        self.server = server
        self._channels = [
            grpc.aio.insecure_channel(server.address, options=[("grpc.use_local_subchannel_pool", 1)])
            for _ in range(channels)
        ]
        self._number = 0

    def calls(self, method: str) -> list[Call]:
        return [channel.unary_unary(method, bytes, bytes) for channel in self._channels]

    def request(self, queue: str) -> bytes:
        """One CreateTask request, as the default service makes it."""
        raw: bytes = self._message(queue).SerializeToString()
        return raw

    def batch(self, queue: str, size: int) -> bytes:
        message = BatchCreateTasksRequest(parent=queue)
        message.requests.extend(self._message(queue) for _ in range(size))
        raw: bytes = message.SerializeToString()
        return raw

    async def run(self, method: str, make: Callable[[int], bytes], workers: int, seconds: float) -> int:
        """Call `method` over and over, `workers` at once; returns how often."""
        calls = self.calls(method)
        end = time.monotonic() + seconds
        count = 0

        async def work(number: int) -> None:
            nonlocal count
            call = calls[number % len(calls)]
            while time.monotonic() < end:
                await call(make(number))
                count += 1

        await asyncio.gather(*(work(number) for number in range(workers)))
        return count

    async def close(self) -> None:
        for channel in self._channels:
            await channel.close(None)

    def _message(self, queue: str) -> Any:
        self._number += 1
        message = CreateTaskRequest(parent=queue)
        message.task.name = f"{queue}/tasks/{os.urandom(8).hex()}-{self._number}"
        request = message.task.app_engine_http_request
        request.relative_uri = "/update-counter"
        request.headers["Content-Type"] = "application/json"
        request.body = b'{"counter": "visits", "amount": 1, "enqueued_at": 1795464576.867464}'
        return message


def queue(number: int) -> str:
    return f"{LOCATION}/queues/bench-{number % QUEUES}"


@contextmanager
def running(data: list[str]) -> Iterator[Server]:
    """The server and a handler, until the block ends."""
    with tempfile.TemporaryDirectory() as folder:
        queues = Path(folder, "queue.yaml")
        entry = "- name: bench-{}\n  rate: 500/s\n  bucket_size: 500\n  max_concurrent_requests: 100\n"
        queues.write_text("queue:\n" + "".join(entry.format(number) for number in range(QUEUES)))
        handler = subprocess.Popen(
            [sys.executable, str(ROOT / "bench" / "tasks_handler.py")], stdout=subprocess.PIPE, text=True
        )
        assert handler.stdout is not None
        target = f"http://127.0.0.1:{handler.stdout.readline().strip()}"
        command = [sys.executable, "-m", "localcloud.tasks", "--queues", str(queues), "--port", "0"]
        storage = data or ["--data", str(Path(folder, "tasks.sqlite3"))]
        process = subprocess.Popen(
            [*command, "--target", target, *storage], stdout=subprocess.PIPE, text=True, cwd=ROOT
        )
        assert process.stdout is not None
        words = process.stdout.readline().split()
        try:
            yield Server(words[3], words[5], psutil.Process(process.pid))
        finally:
            process.terminate()
            process.wait()
            handler.kill()
            handler.wait()


async def create_tasks(server: Server, seconds: float) -> str:
    load = Load(server)
    await all_queues(load, PAUSE)
    cpu, start = server.cpu_seconds(), time.monotonic()
    count = await load.run(CREATE, lambda number: load.request(queue(number)), 32, seconds)
    rate, each = report(server, cpu, start, count)
    await load.close()
    return f"CreateTask, 32 at once:          {rate:6.0f}/s, {each:.3f} ms CPU of the server each"


async def batch_create(server: Server, seconds: float) -> str:
    load = Load(server)
    await all_queues(load, PAUSE)
    cpu, start = server.cpu_seconds(), time.monotonic()
    count = 100 * await load.run(BATCH_CREATE, lambda number: load.batch(queue(number), 100), 8, seconds)
    rate, each = report(server, cpu, start, count)
    await load.close()
    return f"BatchCreateTasks of 100:         {rate:6.0f} tasks/s, {each:.3f} ms CPU each"


async def deliver(server: Server, seconds: float) -> str:
    """Deliveries from a backlog, while 500 tasks a second are created."""
    load = Load(server)
    await all_queues(load, PAUSE)
    for number in range(int(seconds * 2000 / 100)):
        await load.calls(BATCH_CREATE)[0](load.batch(queue(number), 100))
    before = await deliveries(server)
    cpu, start = server.cpu_seconds(), time.monotonic()
    await all_queues(load, RESUME)
    created = await paced(load, 500, seconds)
    total = await deliveries(server) - before
    rate, each = report(server, cpu, start, total)
    await load.close()
    return (
        f"deliveries, four queues:         {rate:6.0f}/s while creating {created / seconds:.0f}/s, "
        f"{each:.3f} ms CPU each, the creations included"
    )


async def deliver_alone(server: Server, seconds: float) -> str:
    """Deliveries from a backlog, and nothing else."""
    load = Load(server)
    await all_queues(load, PAUSE)
    for number in range(int(seconds * 2000 / 100)):
        await load.calls(BATCH_CREATE)[0](load.batch(queue(number), 100))
    before = await deliveries(server)
    cpu, start = server.cpu_seconds(), time.monotonic()
    await all_queues(load, RESUME)
    await asyncio.sleep(seconds)
    rate, each = report(server, cpu, start, await deliveries(server) - before)
    await load.close()
    return f"deliveries, nothing else:        {rate:6.0f}/s, {each:.3f} ms CPU each"


async def paced(load: Load, per_second: int, seconds: float) -> int:
    """Create `per_second` tasks a second for a while; returns how many."""
    calls = load.calls(CREATE)
    start = time.monotonic()
    pending: set[asyncio.Task[bytes]] = set()
    count = 0
    while (elapsed := time.monotonic() - start) < seconds:
        while count < elapsed * per_second:
            task = asyncio.ensure_future(calls[count % len(calls)](load.request(queue(count))))
            pending.add(task)
            task.add_done_callback(pending.discard)
            count += 1
        await asyncio.sleep(0.005)
    await asyncio.gather(*pending)
    return count


async def all_queues(load: Load, method: str) -> None:
    for number in range(QUEUES):
        await load.calls(method)[0](cloudtasks.PauseQueueRequest.pb()(name=queue(number)).SerializeToString())


async def deliveries(server: Server) -> int:
    """How many attempts the server has counted as successful."""
    reader, writer = await asyncio.open_connection(*server.http_address.split(":"))
    writer.write(b"GET /counts HTTP/1.0\r\n\r\n")
    body = (await reader.read()).partition(b"\r\n\r\n")[2]
    writer.close()
    return int(json.loads(body)["deliveries"].get("success", 0))


def report(server: Server, cpu: float, start: float, count: int) -> tuple[float, float]:
    """Operations per second, and milliseconds of the server's processor time for each."""
    return count / (time.monotonic() - start), (server.cpu_seconds() - cpu) / max(1, count) * 1000


MEASUREMENTS = {
    "create": create_tasks,
    "batch": batch_create,
    "deliver": deliver,
    "deliver-alone": deliver_alone,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--in-memory", action="store_true")
    parser.add_argument("--only", choices=MEASUREMENTS, action="append")
    options = parser.parse_args()
    for name in options.only or MEASUREMENTS:
        with running(["--in-memory"] if options.in_memory else []) as server:
            print(uvloop.run(MEASUREMENTS[name](server, options.seconds)), flush=True)


if __name__ == "__main__":
    main()
