"""SIGKILL at random moments under load: what was acknowledged is there, whole, and nothing by half."""

from __future__ import annotations

import os
import random
import threading
from pathlib import Path

import grpc
import pytest
from localcloud.datastore import messages as m
from localcloud.testing import DatastoreProcess

from tests.datastore.api import PROJECT, key, query, upsert
from tests.datastore.clients import PropertyFilter, datastore

_THREADS = 4
_KILLS = 4
_PARTS = 5


class Writer(threading.Thread):
    """Commits one group of entities after the other, and notes what was acknowledged."""

    def __init__(self, address: str, number: int) -> None:
        super().__init__(daemon=True)
        self.number = number
        self.acknowledged: set[int] = set()
        self.sent = 0
        self.unanswered = 0
        self.stopping = threading.Event()
        self._address = address

    def run(self) -> None:
        options = [("grpc.initial_reconnect_backoff_ms", 50), ("grpc.max_reconnect_backoff_ms", 100)]
        with grpc.insecure_channel(self._address, options=options) as channel:
            commit = channel.unary_unary(
                "/google.datastore.v1.Datastore/Commit",
                request_serializer=m.CommitRequest.SerializeToString,
                response_deserializer=m.CommitResponse.FromString,
            )
            while not self.stopping.is_set():
                self.sent += 1
                request = m.CommitRequest(project_id=PROJECT, mode=1)
                request.single_use_transaction.read_write.SetInParent()
                for part in range(_PARTS):
                    of = key("Group", f"{self.number}-{self.sent}-{part}")
                    request.mutations.append(upsert(of, group=f"{self.number}-{self.sent}", part=part))
                try:
                    commit(request, timeout=10)
                except grpc.RpcError:
                    self.unanswered += 1
                    self.stopping.wait(0.02)
                else:
                    self.acknowledged.add(self.sent)


def test_after_kills_under_load_every_acknowledged_commit_is_there_and_none_by_half(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chance = random.Random(os.getpid())
    with DatastoreProcess(tmp_path) as server:
        writers = [Writer(server.address, number) for number in range(_THREADS)]
        for writer in writers:
            writer.start()
        for _ in range(_KILLS):
            before = sum(len(writer.acknowledged) for writer in writers)
            target = before + chance.randrange(20, 150)
            while sum(len(writer.acknowledged) for writer in writers) < target:
                assert all(writer.is_alive() for writer in writers)
                threading.Event().wait(chance.random() / 200)
            server.kill()
            server.start()
        for writer in writers:
            writer.stopping.set()
        for writer in writers:
            writer.join(20)
        assert sum(writer.unanswered for writer in writers) >= _KILLS, "no kill met a commit"
        monkeypatch.setenv("DATASTORE_EMULATOR_HOST", server.address)
        client = datastore.Client(project=PROJECT)
        stored: dict[str, set[int]] = {}
        for found in client.query(kind="Group").fetch():
            stored.setdefault(found["group"], set()).add(found["part"])
        assert all(parts == set(range(_PARTS)) for parts in stored.values())
        acknowledged = {f"{writer.number}-{sent}" for writer in writers for sent in writer.acknowledged}
        assert acknowledged <= set(stored)
        # The index rows tell the same as the entities.
        for number in range(_PARTS):
            by_index = client.query(kind="Group")
            by_index.add_filter(filter=PropertyFilter("part", "=", number))
            by_index.keys_only()
            assert len(list(by_index.fetch())) == len(stored)
        client.close()


def test_a_query_never_sees_half_a_commit(tmp_path: Path) -> None:
    with DatastoreProcess(tmp_path) as server, grpc.insecure_channel(server.address) as channel:
        writer = Writer(server.address, 0)
        writer.start()
        run = channel.unary_unary(
            "/google.datastore.v1.Datastore/RunQuery",
            request_serializer=m.RunQueryRequest.SerializeToString,
            response_deserializer=m.RunQueryResponse.FromString,
        )
        request = m.RunQueryRequest(project_id=PROJECT, query=query("Group", order=["-part"], limit=400))
        request.partition_id.project_id = PROJECT
        sizes = set()
        for _ in range(60):
            results = run(request, timeout=20).batch.entity_results
            if len(results) < 400:
                assert len(results) % _PARTS == 0
                sizes.add(len(results))
        writer.stopping.set()
        writer.join(20)
        assert len(sizes) > 1
