"""The proof reads the Datastore that it is told to, and sends nobody else there."""

from __future__ import annotations

import os

import pytest

from bench.proof import Proof, Sums
from counters.entities import CounterShard, shard_id
from pushtasks.database import Database


@pytest.mark.parametrize("elsewhere", [None, "127.0.0.1:1"])
def test_it_reads_its_own_server_and_leaves_the_environment_as_it_was(
    database: Database,
    datastore_address: str,
    name: str,
    monkeypatch: pytest.MonkeyPatch,
    elsewhere: str | None,
) -> None:
    with database.context():
        CounterShard(id=shard_id(name, 0), value=7, increments=3, tasks_applied=2).put()
    if elsewhere is None:
        monkeypatch.delenv("DATASTORE_EMULATOR_HOST")
    else:
        monkeypatch.setenv("DATASTORE_EMULATOR_HOST", elsewhere)

    proof = Proof(datastore_address, "test-project")

    assert os.environ.get("DATASTORE_EMULATOR_HOST") == elsewhere
    assert proof.shards([name]) == Sums(increments=3, amount=7)
