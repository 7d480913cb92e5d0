"""No answer reveals what is not on disk: SQLite's commit is held, made to fail, and cut off by SIGKILL."""

from __future__ import annotations

import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import pytest
from localcloud.datastore import DatastoreServer
from localcloud.datastore import messages as m
from localcloud.datastore.commits import Concurrency
from localcloud.datastore.errors import Refused
from localcloud.datastore.key_encoding import encode_path
from localcloud.datastore.service import Service, Settings
from localcloud.testing import DatastoreProcess
from localcloud.testing.waiting import wait_until

from tests.datastore.api import PROJECT, Api, StandingClock, delete, insert, key, query, upsert

_SECONDS = 20.0
FULL = "database or disk is full"


class Disk:
    """Stands in for the writer's connection: commits can be held, and made to fail."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._fails = False
        self.is_held = threading.Event()
        self._goes_on = threading.Event()
        self._goes_on.set()

    def hold(self) -> None:
        """The next commit waits, and `is_held`, until `go_on` or `fail`."""
        self.is_held.clear()
        self._goes_on.clear()

    def go_on(self) -> None:
        self._goes_on.set()

    def fail(self) -> None:
        """The commit that is held, or else the next one, fails."""
        self._fails = True
        self._goes_on.set()

    def execute(self, statement: str, *parameters: Any) -> Any:
        if statement == "COMMIT":
            self.is_held.set()
            assert self._goes_on.wait(_SECONDS)
            if self._fails:
                self._fails = False
                raise sqlite3.OperationalError(FULL)
        return self._connection.execute(statement, *parameters)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)


@pytest.fixture
def make_service(tmp_path: Path, clock: StandingClock) -> Iterator[Callable[..., Service]]:
    """Services on one file, one after the other."""
    services: list[Service] = []

    def make(**settings: Any) -> Service:
        if services:
            services.pop().close()
        path = tmp_path / "datastore.sqlite3"
        services.append(Service(Settings(data=path, clock=clock, lock_wait_seconds=0.3, **settings)))
        return services[-1]

    yield make
    services.pop().close()


@pytest.fixture
def service(make_service: Callable[..., Service]) -> Service:
    return make_service()


@pytest.fixture
def api(service: Service) -> Api:
    return Api(service)


def disk_of(service: Service) -> Disk:
    disk = service.storage._writer = Disk(service.storage._writer)  # type: ignore[assignment]
    return disk


@pytest.fixture
def disk(api: Api) -> Disk:
    """The disk of a service that has an entity in it, so that nothing else is new."""
    api.commit(upsert(key("Kind", "there"), n=1))
    return disk_of(api.service)


@pytest.fixture
def threads() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(4) as pool:
        yield pool


def hold(disk: Disk, threads: ThreadPoolExecutor, call: Callable[[], Any]) -> Future[Any]:
    """Begin a call, and return when its commit is held."""
    disk.hold()
    future = threads.submit(call)
    assert disk.is_held.wait(_SECONDS)
    return future


def test_until_a_commit_is_on_disk_nobody_sees_it(api: Api, disk: Disk, threads: ThreadPoolExecutor) -> None:
    held = hold(disk, threads, lambda: api.commit(insert(key("Kind", "new"), n=1), delete(("Kind", "there"))))
    assert api.get("Kind", "new") is None
    assert api.get("Kind", "there") == {"n": 1}
    assert api.names(query("Kind")) == ["there"]
    assert api.aggregate(query("Kind"), ("count", "n")) == {"n": 1}
    assert api.get("Kind", "new", transaction=api.begin(read_only=True)) is None
    assert not held.done()
    disk.go_on()
    held.result(_SECONDS)
    assert api.names(query("Kind")) == ["new"]


@pytest.mark.parametrize("fails", [True, False])
def test_a_second_insert_is_told_that_the_first_is_there_once_it_is(
    api: Api, disk: Disk, threads: ThreadPoolExecutor, fails: bool
) -> None:
    first = hold(disk, threads, lambda: api.commit(insert(key("Kind", "one"), by="first")))
    second = threads.submit(lambda: api.commit(insert(key("Kind", "one"), by="second")))
    if fails:
        disk.fail()
        with pytest.raises(sqlite3.OperationalError, match=FULL):
            first.result(_SECONDS)
        second.result(_SECONDS)
        assert api.get("Kind", "one") == {"by": "second"}
    else:
        disk.go_on()
        first.result(_SECONDS)
        with pytest.raises(Refused, match="already exists"):
            second.result(_SECONDS)


@pytest.mark.parametrize("concurrency", list(Concurrency))
def test_a_commit_that_fails_leaves_nothing_behind(
    make_service: Callable[..., Service], concurrency: Concurrency
) -> None:
    api = Api(make_service(concurrency=concurrency))
    api.commit(upsert(key("Kind", "there"), n=1))
    disk = disk_of(api.service)
    other = api.begin()
    assert api.get("Kind", "there", transaction=other) == {"n": 1}
    transaction = api.begin()
    disk.fail()
    with pytest.raises(sqlite3.OperationalError, match=FULL):
        api.commit(upsert(key("New", "name"), n=2), delete(("Kind", "gone")), transaction=transaction)
    with pytest.raises(Refused):
        api.commit(transaction=transaction)
    api.rollback(transaction)
    assert api.get("New", "name") is None
    # Its locks are free, and it is not a conflict for those who read before it.
    api.commit(upsert(key("Kind", "there"), n=2), transaction=other)
    api.commit(insert(key("New", "name"), n=3))
    again = Api(make_service())
    assert again.get("Kind", "there") == {"n": 2}
    assert again.get("New", "name") == {"n": 3}
    assert again.names(query("New")) == ["name"]


@pytest.mark.parametrize("fails", [True, False])
def test_a_rollback_waits_for_a_commit_that_is_on_its_way_to_the_disk(
    api: Api, disk: Disk, threads: ThreadPoolExecutor, fails: bool
) -> None:
    transaction = api.begin()
    held = hold(disk, threads, lambda: api.commit(upsert(key("Kind", "there"), n=2), transaction=transaction))
    rollback = threads.submit(lambda: api.rollback(transaction))
    # Its locks stay: who reads now, to write later, must not read what is about to be replaced.
    with pytest.raises(Refused, match="lock timeout"):
        api.get("Kind", "there", transaction=api.begin())
    assert not rollback.done()
    if fails:
        disk.fail()
        rollback.result(_SECONDS)
        with pytest.raises(sqlite3.OperationalError):
            held.result(_SECONDS)
        assert api.get("Kind", "there") == {"n": 1}
    else:
        disk.go_on()
        with pytest.raises(Refused, match="already been committed"):
            rollback.result(_SECONDS)
        held.result(_SECONDS)
        assert api.get("Kind", "there") == {"n": 2}


def test_what_was_rolled_back_while_its_commit_waited_is_not_committed(
    api: Api, threads: ThreadPoolExecutor
) -> None:
    api.commit(upsert(key("Kind", "there"), n=1))
    transaction = api.begin()
    with api.service.storage.writing_mutex:
        commit = threads.submit(
            lambda: api.commit(upsert(key("Kind", "there"), n=2), transaction=transaction)
        )
        locks = api.service.transactions._open[transaction].owner
        wait_until(lambda: bool(locks.held), "a commit that has its locks", _SECONDS)
        api.rollback(transaction)
    with pytest.raises(Refused, match="rolled back"):
        commit.result(_SECONDS)
    assert api.get("Kind", "there") == {"n": 1}


def test_a_transaction_does_not_expire_while_its_commit_is_on_its_way_to_the_disk(
    api: Api, disk: Disk, threads: ThreadPoolExecutor, clock: StandingClock
) -> None:
    transaction = api.begin()
    held = hold(disk, threads, lambda: api.commit(upsert(key("Kind", "there"), n=2), transaction=transaction))
    clock.advance(1000)
    api.service.transactions.expire()
    with pytest.raises(Refused, match="lock timeout"):
        api.get("Kind", "there", transaction=api.begin())
    disk.go_on()
    held.result(_SECONDS)
    assert api.get("Kind", "there") == {"n": 2}


def test_a_reset_that_fails_forgets_nothing(
    api: Api, disk: Disk, make_service: Callable[..., Service]
) -> None:
    disk.fail()
    with pytest.raises(sqlite3.OperationalError, match=FULL):
        api.service.reset()
    assert api.get("Kind", "there") == {"n": 1}
    api.commit(insert(key("Kind", "more"), n=1))
    assert Api(make_service()).names(query("Kind")) == ["more", "there"]


def test_a_commit_that_began_before_a_reset_is_in_its_own_namespace_afterwards(
    api: Api, disk: Disk, threads: ThreadPoolExecutor, make_service: Callable[..., Service]
) -> None:
    early = Api(api.service, namespace="early")
    reset = hold(disk, threads, api.service.reset)
    prepared = threading.Event()
    prepare = api.service.committer._prepare

    def noting(request: Any) -> Any:
        found = prepare(request)
        prepared.set()
        return found

    api.service.committer._prepare = noting  # type: ignore[method-assign]
    commit = threads.submit(lambda: api.commit(upsert(key("Kind", "kept"), n=1)))
    assert prepared.wait(_SECONDS)
    disk.go_on()
    reset.result(_SECONDS)
    early.commit(upsert(early.key("Kind", "other")))
    commit.result(_SECONDS)
    assert api.names(query("Kind")) == ["kept"]
    assert Api(make_service()).names(query("Kind")) == ["kept"]


def test_ids_that_could_not_be_reserved_are_not_said_to_be(api: Api, disk: Disk) -> None:
    disk.fail()
    request = m.ReserveIdsRequest(keys=[api.key("Kind", 7), api.key("Kind", 8)])
    with pytest.raises(sqlite3.OperationalError, match=FULL):
        api.call("ReserveIds", m.ReserveIdsResponse, request)
    storage = api.service.storage
    (partition,) = storage.catalog.all_partitions()
    path = encode_path([("Kind", None)])
    assert not any(storage.is_reserved(partition.id, path, id_) for id_ in (7, 8))
    api.call("ReserveIds", m.ReserveIdsResponse, request)
    assert all(storage.is_reserved(partition.id, path, id_) for id_ in (7, 8))


_DIES_AT_COMMIT = """
import os, signal, sys, time
from pathlib import Path
from localcloud.datastore import DatastoreServer

data, when = Path(sys.argv[1]), sys.argv[2]
server = DatastoreServer(data=data)
server.start()
writer = server.service.storage._writer

class Dying:
    def __getattr__(self, name):
        return getattr(writer, name)

    def execute(self, statement, *parameters):
        if statement == "COMMIT" and when == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        done = writer.execute(statement, *parameters)
        if statement == "COMMIT":
            os.kill(os.getpid(), signal.SIGKILL)
        return done

server.service.storage._writer = Dying()
print(server.address, flush=True)
time.sleep(60)
"""


@pytest.mark.parametrize(("when", "survives"), [("before", False), ("after", True)])
def test_killed_at_the_commit_nothing_was_acknowledged_and_it_is_whole_or_absent(
    tmp_path: Path, when: str, survives: bool
) -> None:
    with DatastoreProcess(tmp_path) as first, grpc.insecure_channel(first.address) as channel:
        put(channel, "there")
    path = tmp_path / "datastore.sqlite3"
    command = [sys.executable, "-c", _DIES_AT_COMMIT, str(path), when]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as dying:
        assert dying.stdout is not None
        address = dying.stdout.readline().strip()
        with grpc.insecure_channel(address) as channel, pytest.raises(grpc.RpcError):
            put(channel, "new")
        assert dying.wait(_SECONDS) == -signal.SIGKILL
    with DatastoreServer(data=path) as again:
        api = Api(again.service)
        assert api.get("Kind", "there") == {"n": 1}
        assert api.get("Kind", "new") == ({"n": 1} if survives else None)
        assert api.names(query("Kind")) == (["new", "there"] if survives else ["there"])


def put(channel: grpc.Channel, name: str) -> None:
    commit = channel.unary_unary(
        "/google.datastore.v1.Datastore/Commit",
        request_serializer=m.CommitRequest.SerializeToString,
        response_deserializer=m.CommitResponse.FromString,
    )
    request = m.CommitRequest(project_id=PROJECT, mode=1, mutations=[upsert(key("Kind", name), n=1)])
    request.single_use_transaction.read_write.SetInParent()
    commit(request, timeout=_SECONDS)


def test_a_full_disk_is_unavailable_and_told_once_and_all_is_well_when_there_is_space(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with (
        DatastoreServer(data=tmp_path / "datastore.sqlite3") as server,
        grpc.insecure_channel(server.address) as channel,
    ):
        put(channel, "there")
        storage = server.service.storage
        with storage.writing_mutex:
            storage._writer.execute("PRAGMA max_page_count = 1")
        written = 0
        with pytest.raises(grpc.RpcError, match=FULL) as refused:
            for written in range(300):
                put(channel, f"{written}-{'x' * 1000}")
        assert refused.value.code() is grpc.StatusCode.UNAVAILABLE
        with pytest.raises(grpc.RpcError, match=FULL):
            put(channel, "x" * 1001)
        api = Api(server.service)
        assert api.get("Kind", "there") == {"n": 1}
        with storage.writing_mutex:
            storage._writer.execute("PRAGMA max_page_count = 100000")
        put(channel, "late")
        assert len(api.names(query("Kind"))) == written + 2
    assert [record.getMessage() for record in caplog.records] == [
        f"localcloud.datastore: the data file could not be used: {FULL}"
    ]
