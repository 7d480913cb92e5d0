"""The local cloud under test: started, looked into, disturbed and killed from a test."""

from __future__ import annotations

import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.cloud import datastore, tasks_v2
from google.cloud.tasks_v2.services.cloud_tasks.transports import CloudTasksGrpcTransport
from localcloud.testing import LocalCloud, LocalCloudError
from localcloud.testing.waiting import wait_until

FILES = ["app.yaml", "worker.yaml", "queue.yaml"]


@pytest.fixture
def cloud(root: Path, tmp_path: Path) -> Iterator[LocalCloud]:
    with LocalCloud(
        FILES, root=root, data=tmp_path / "data", env={"EXTRA": "extra"}, instances={"worker": 2}, faults=True
    ) as started:
        yield started


def get(url: str, **headers: str) -> str:
    with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=20) as answer:
        text: str = answer.read().decode()
    return text


def enqueue(cloud: LocalCloud, name: str) -> str:
    """Through the real client library."""
    parent = f"projects/{cloud.state['project']}/locations/{cloud.state['region']}/queues/jobs"
    with grpc.insecure_channel(cloud.tasks_address) as channel:
        client = tasks_v2.CloudTasksClient(transport=CloudTasksGrpcTransport(channel=channel))
        request = tasks_v2.AppEngineHttpRequest(relative_uri="/work")
        task = tasks_v2.Task(name=f"{parent}/tasks/{name}", app_engine_http_request=request)
        return str(client.create_task(parent=parent, task=task).name)


def client_of(cloud: LocalCloud, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("DATASTORE_EMULATOR_HOST", cloud.datastore_address)
    untyped: Any = datastore
    return untyped.Client(project=cloud.state["project"])


def store(cloud: LocalCloud, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    client = client_of(cloud, monkeypatch)
    entity = client.entity(client.key("Thing", name))
    entity["name"] = name
    client.put(entity)


def stored(cloud: LocalCloud, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    things = client_of(cloud, monkeypatch).query(kind="Thing").fetch()
    return sorted(thing["name"] for thing in things)


def test_the_addresses_for_clients_that_speak_http_are_printed_and_answer(cloud: LocalCloud) -> None:
    addresses = [cloud.state[name]["http"] for name in ("datastore", "tasks")]
    wait_until(lambda: "Ctrl-C stops everything." in cloud.log(), "the addresses", 30)
    assert "Datastore {}, Cloud Tasks {}".format(*addresses) in cloud.log()
    assert [get(f"http://{address}/") for address in addresses] == ["Ok\n", "Ok\n"]


def test_one_cloud_from_end_to_end(cloud: LocalCloud, monkeypatch: pytest.MonkeyPatch) -> None:
    assert get(cloud.service_url("default").replace("localhost", "127.0.0.1")) == "default extra nobody"
    assert get(cloud.direct_url("worker", 1)) == "worker extra nobody"
    assert (
        get(f"{cloud.url}/work", Cookie=cloud.sign_in("ann@example.com")) == "default extra ann@example.com"
    )

    task = enqueue(cloud, "t1")
    cloud.wait_idle()
    cloud.redeliver(task)

    def printed_twice() -> bool:
        delivered = "".join(cloud.log(label) for label in ("worker-1", "worker-2"))
        return delivered.count("task t1 attempt") == 2

    wait_until(printed_twice, "both deliveries in the workers' logs")

    store(cloud, monkeypatch, "before")
    cloud.kill("datastore")
    cloud.wait_ready("datastore")
    assert stored(cloud, monkeypatch) == ["before"]

    cloud.set_faults(datastore=[{"method": "Commit", "fault": "response_lost", "times": 1}])
    with pytest.raises(Exception, match="Spoiled on purpose"):
        store(cloud, monkeypatch, "lost")
    assert stored(cloud, monkeypatch) == ["before", "lost"]
    cloud.clear_faults()

    for name in ("tasks", "frontend", "worker", "worker-2"):
        cloud.kill(name)
        cloud.wait_ready(name)
    assert get(cloud.direct_url("worker")) == "worker extra nobody"
    enqueue(cloud, "t2")
    cloud.wait_idle()

    assert cloud.counts("tasks")["deliveries"]
    assert cloud.counts("datastore")
    assert 20e6 < cloud.memory_pss() < 450e6
    with pytest.raises(LocalCloudError, match="there is no service 'shop'; there are: default, worker"):
        cloud.service_url("shop")
    assert cloud.stop() == 0


def test_what_was_acknowledged_survives_the_death_of_everything(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cloud = LocalCloud(FILES, root=root, data=tmp_path / "data")
    cloud.start()
    store(cloud, monkeypatch, "kept")
    cookie = cloud.sign_in()
    cloud.kill_all()
    with LocalCloud(FILES, root=root, data=tmp_path / "data") as again:
        assert stored(again, monkeypatch) == ["kept"]
        assert again.sign_in().partition("=")[0] == cookie.partition("=")[0]
        assert get(f"{again.url}/work", Cookie=cookie).endswith("admin@example.com")


def test_an_application_that_does_not_start_tells_why(
    root: Path, start_local_cloud: Callable[..., LocalCloud]
) -> None:
    (root / "main.py").write_text("raise SystemExit('no way')\n")
    with pytest.raises(LocalCloudError, match="before it was ready: no way"):
        start_local_cloud(FILES, root=root)
