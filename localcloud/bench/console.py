"""The console's pages with 100,000 entities: the slowest of them, at its 95th percentile.

python -m bench.console [--entities 100000] [--requests 40]
"""

from __future__ import annotations

import argparse
import math
import statistics
import sys
import tempfile
import time
import urllib.request
from collections.abc import Sequence
from pathlib import Path

from localcloud.console.calls import Calls
from localcloud.console.datastore import Datastore
from localcloud.console.keys import Database, address
from localcloud.datastore.messages import Entity
from localcloud.testing import LocalCloud

ROOT = Path(__file__).parents[2]
"""The application that this folder lies in."""

P95_MS = 50.0
_WHERE = Database("local-project")
_QUEUE = "projects/local-project/locations/us-central1/queues/counter-updates-0"
_LINES = 40_000


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--entities", type=int, default=100_000)
    parser.add_argument("--requests", type=int, default=40)
    options = parser.parse_args(arguments)
    files = ["app.yaml", "worker.yaml", "queue.yaml"]
    with (
        tempfile.TemporaryDirectory() as folder,
        LocalCloud(files, root=ROOT, data=Path(folder)) as cloud,
    ):
        calls = Calls("Datastore", cloud.datastore_address)
        Datastore(calls).upsert_all([_person(number) for number in range(1, options.entities + 1)])
        calls.close()
        with (cloud.data / "logs" / "timeline").open("a") as timeline:
            timeline.writelines(f"1777636800000000 worker I line {number}\n" for number in range(_LINES))
        before = cloud.memory_pss()
        slowest = max(_measure(cloud, path, options.requests) for path in _paths())
        print(f"slowest page p95 {slowest:.1f} ms")
        print(f"memory of the stack: {before / 1e6:.0f} MB, visited {cloud.memory_pss() / 1e6:.0f} MB")
        return 0 if slowest < P95_MS else 1


def _paths() -> Sequence[str]:
    key = Entity()
    _WHERE.partition(key.key.partition_id)
    key.key.path.add(kind="Person", id=77)
    of_kind = "/data/kind?kind=Person"
    return (
        "/",
        "/data",
        of_kind,
        f"{of_kind}&order=-age",
        f"{of_kind}&property=age&operator=%3C&type=integer&value=0",
        f"{of_kind}&property=age&operator=%3E&type=integer&value=5",
        f"{of_kind}&property=age&operator=%3D&type=integer&value=5&property=name&operator=%3D&type=string&value=a",
        f"/data/entity?key={address(key.key)}",
        "/data/gql?q=SELECT+*+FROM+Person+WHERE+age+%3E+50+LIMIT+50",
        "/tasks",
        f"/tasks/queue?name={_QUEUE}",
        "/logs",
        "/logs?level=ERROR",
        "/logs?text=needle",
        "/instances",
        "/cron",
    )


def _measure(cloud: LocalCloud, path: str, requests: int) -> float:
    """The 95th percentile in milliseconds; the first request is for warming up."""
    times_ms = []
    for _ in range(requests + 1):
        began = time.perf_counter()
        with urllib.request.urlopen(cloud.console_url + path) as answer:
            answer.read()
        times_ms.append((time.perf_counter() - began) * 1000)
    measured = sorted(times_ms[1:])
    p95 = measured[math.ceil(0.95 * len(measured)) - 1]
    print(f"{path:100.100} median {statistics.median(measured):5.1f} ms  p95 {p95:5.1f} ms")
    return p95


def _person(number: int) -> Entity:
    entity = Entity()
    _WHERE.partition(entity.key.partition_id)
    entity.key.path.add(kind="Person", id=number)
    entity.properties["name"].string_value = f"Person {number}"
    entity.properties["age"].integer_value = -1 if number == 77 else number % 90
    entity.properties["height"].double_value = 1 + number % 100 / 100
    entity.properties["born"].timestamp_value.seconds = number * 1000
    entity.properties["email"].string_value = f"person{number}@example.com"
    return entity


if __name__ == "__main__":
    sys.exit(main())
