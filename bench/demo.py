"""`make demo`: the whole thing live, with faults on purpose, and a sum that stays exact.

Requests and answers get lost between the queue and the worker, and between the worker and Datastore; some
deliveries come twice, some late, and some tasks can never succeed. Faults are made around the application,
never in it. Ctrl-C ends it: the faults stop, the queues run empty, and the sum is proved.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import secrets
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import grpc
from google.cloud import tasks_v2
from google.cloud.tasks_v2.services.cloud_tasks.transports import CloudTasksGrpcTransport
from localcloud.testing import LocalCloud, LocalCloudError

from bench.past_hour import live_through
from bench.proof import Proof
from counters.settings import CounterSettings
from pushtasks.database import Database

ROOT = Path(__file__).parents[1]

COUNTERS = (
    "visits",
    "signups",
    "downloads",
    "page.docs",
    "page.home",
    "newsletter",
    "orders",
    "cups-of-coffee",
)

DELIVERIES = {
    "seed": 7,
    "lose_request": 0.02,
    "lose_response": 0.03,
    "duplicate": 0.03,
    "slow": 0.03,
    "slow_seconds": 1.5,
}

DATASTORE = [
    {"method": "Commit", "fault": "request_lost", "probability": 0.02, "seed": 1},
    {"method": "Commit", "fault": "response_lost", "probability": 0.03, "seed": 2},
    {"method": "Commit", "fault": "delay", "probability": 0.03, "seed": 3, "delay_seconds": 0.5},
]

_LOCATION = "projects/local-project/locations/us-central1"

_BAD = (
    b'{"counter": "visits", "amount": "two"}',
    b'{"amount": 1}',
    b'{"counter": "<script>alert(1)</script>", "amount": 1}',
    b"\xff\xfe not text",
)


@dataclass
class Book:
    """What the default service accepted."""

    tasks: set[str] = field(default_factory=set)
    increments: int = 0
    amount: int = 0
    resent: int = 0


class Visitors:
    """Sends increments, steadily, and now and then a task that can never succeed."""

    def __init__(self, cloud: LocalCloud, counters: Sequence[str] = COUNTERS, seed: int = 3) -> None:
        self.book = Book()
        self._url = cloud.url
        self._counters = counters
        self._chance = random.Random(seed)
        transport = CloudTasksGrpcTransport(channel=grpc.insecure_channel(cloud.tasks_address))
        self._queue = tasks_v2.CloudTasksClient(transport=transport)

    def send(self, count: int) -> None:
        """Send a batch of increments; repeat it under its key until it is accepted."""
        chance = self._chance
        amounts = [chance.choice((1, 1, 1, 2, 5)) for _ in range(count)]
        increments = [{"counter": chance.choice(self._counters), "amount": amount} for amount in amounts]
        request = urllib.request.Request(
            f"{self._url}/api/increments",
            json.dumps({"increments": increments}).encode(),
            {"Content-Type": "application/json", "Idempotency-Key": secrets.token_hex(8)},
        )
        while True:
            try:
                with urllib.request.urlopen(request, timeout=30) as answer:
                    task = json.load(answer)["task"]
                break
            except (OSError, urllib.error.HTTPError):
                self.book.resent += 1
                time.sleep(0.3)
        self.book.tasks.add(task)
        self.book.increments += count
        self.book.amount += sum(amounts)

    def resume_queues(self) -> list[str]:
        """Let the queues that somebody paused deliver again, so that they run empty; which those were."""
        paused = [
            queue.name
            for queue in self._queue.list_queues(parent=_LOCATION)
            if queue.state == tasks_v2.Queue.State.PAUSED
        ]
        for name in paused:
            self._queue.resume_queue(name=name)
        return [name.rpartition("/")[2] for name in paused]

    def send_rubbish(self) -> None:
        """Enqueue a task that can never be applied, as another program might."""
        parent = f"{_LOCATION}/queues/counter-updates-0"
        request = tasks_v2.AppEngineHttpRequest(
            relative_uri="/update-counter",
            body=self._chance.choice(_BAD),
            headers={"Content-Type": "application/json"},
        )
        task = tasks_v2.Task(name=f"{parent}/tasks/{secrets.token_hex(16)}", app_engine_http_request=request)
        self._queue.create_task(parent=parent, task=task)


def stack(data: Path, port: int = 0) -> LocalCloud:
    """The stack, not started yet; disturbed by nothing until `disturb`."""
    options = ["--port", str(port), "--transaction-idle-seconds", "5"]
    files = ["app.yaml", "worker.yaml", "queue.yaml"]
    return LocalCloud(files, root=ROOT, data=data, options=options, faults=True)


def remember_an_hour(cloud: LocalCloud) -> int:
    """Give it a past; how many tasks that has applied."""
    os.environ["DATASTORE_EMULATOR_HOST"] = cloud.datastore_address
    settings = CounterSettings.read({"GOOGLE_CLOUD_PROJECT": "local-project"})
    return live_through(Database(settings.project), settings, COUNTERS)


def disturb(cloud: LocalCloud) -> None:
    """From now on, make things go wrong."""
    cloud.set_faults(deliveries=DELIVERIES, datastore=DATASTORE)


def prove(cloud: LocalCloud, book: Book, counters: Sequence[str], before: tuple[int, int]) -> bool:
    """Whether accepted = shards = applied records, once nothing is on its way; says so."""
    proof = Proof(cloud.datastore_address)
    shards, records = proof.shards(counters), proof.records(book.tasks)
    tasks, amount = shards.increments - before[0], shards.amount - before[1]
    is_exact = (tasks, amount) == (records.increments, records.amount) == (book.increments, book.amount)
    print(
        f"accepted {book.increments:,} increments, sum {book.amount:,} ({book.resent} requests were repeated)"
    )
    print(f"shards   {tasks:,} increments, sum {amount:,}")
    print(f"records  {records}")
    print(f"duplicates suppressed: {proof.duplicates():,}")
    print("EXACT: every increment was counted once." if is_exact else "NOT EXACT.")
    if records.increments < book.increments:
        missing = book.increments - records.increments
        print(
            f"{missing:,} of the accepted increments were not applied. "
            "Purging a queue or deleting a task on the dashboard does that."
        )
    return is_exact


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--port", type=int, default=8080)
    parser.add_argument("--data", type=Path, default=Path(".localcloud/demo"))
    parser.add_argument("--seconds", type=float, default=float("inf"), help="how long; default: until Ctrl-C")
    options = parser.parse_args(arguments)
    is_new = not (options.data / "datastore.sqlite3").exists()
    with stack(options.data, options.port) as cloud:
        if is_new:
            print(f"an hour of history: {remember_an_hour(cloud):,} tasks applied")
        shards = Proof(cloud.datastore_address).shards(COUNTERS)
        before = shards.increments, shards.amount
        visitors = Visitors(cloud)
        disturb(cloud)
        print(
            f"\n  page       {cloud.url}/\n  dashboard  {cloud.url}/admin  (sign in as any administrator)\n"
        )
        print("Things go wrong on purpose now. Ctrl-C ends it, and proves the sum.", flush=True)
        _send_steadily(visitors, options.seconds)
        print("\nThe faults stop; waiting until the queues are empty ...", flush=True)
        cloud.clear_faults()
        for queue in visitors.resume_queues():
            print(f"{queue} was paused: it delivers again.", flush=True)
        try:
            cloud.wait_idle(120)
        except LocalCloudError as busy:
            print(f"Some tasks are still waiting after two minutes: {busy}")
        return 0 if prove(cloud, visitors.book, COUNTERS, before) else 1


def _send_steadily(visitors: Visitors, seconds: float) -> None:
    ends_s = time.monotonic() + seconds
    chance = random.Random(5)
    rounds = 0
    try:
        while time.monotonic() < ends_s:
            visitors.send(chance.randrange(1, 9))
            rounds += 1
            if rounds % 60 == 0:
                visitors.send_rubbish()
            if rounds % 5 == 0:
                book = visitors.book
                print(f"\raccepted {book.increments:,} increments, sum {book.amount:,} ", end="", flush=True)
            time.sleep(0.2)
    except KeyboardInterrupt:
        pass


if __name__ == "__main__":
    sys.exit(main())
