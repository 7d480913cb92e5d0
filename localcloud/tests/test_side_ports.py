"""No page of another site reaches a side port; programs do, as before."""

from __future__ import annotations

import http.client
from collections.abc import Iterator, Mapping

import pytest
from localcloud.datastore import DatastoreServer
from localcloud.tasks import TasksServer
from localcloud.testing.servers import FaultyProxy


@pytest.fixture(scope="module")
def side_ports() -> Iterator[dict[str, tuple[str, str]]]:
    """The address of each server's side port, and a path that takes a POST."""
    with (
        DatastoreServer(http_port=0) as datastore,
        TasksServer({}) as tasks,
        FaultyProxy(datastore=datastore.address) as faults,
    ):
        assert datastore.http_address is not None
        yield {
            "datastore": (datastore.http_address, "/reset"),
            "tasks": (tasks.http_address, "/faults"),
            "faults": (faults.http_address, "/faults"),
        }


def status_of(address: str, method: str, path: str, headers: Mapping[str, str]) -> int:
    connection = http.client.HTTPConnection(address, timeout=20)
    try:
        connection.request(method, path, "{}" if method == "POST" else None, headers)
        return connection.getresponse().status
    finally:
        connection.close()


@pytest.mark.parametrize("name", ["datastore", "tasks", "faults"])
def test_each_side_port_has_the_guard(side_ports: dict[str, tuple[str, str]], name: str) -> None:
    address, path = side_ports[name]
    assert status_of(address, "POST", path, {}) == 200
    assert (
        status_of(address, "POST", path, {"Origin": "http://evil.example", "Content-Type": "text/plain"})
        == 403
    )
    assert status_of(address, "POST", path, {"Sec-Fetch-Site": "cross-site"}) == 403
    for method in ("GET", "POST"):
        assert status_of(address, method, path, {"Host": "evil.example"}) == 403
    ours = {
        "Origin": f"http://{address}",
        "Sec-Fetch-Site": "same-origin",
        "Content-Type": "application/json",
    }
    assert status_of(address, "POST", path, ours) == 200
