"""What a refresh of the dashboard reads, as the Datastore server counts it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from google.cloud import ndb
from localcloud.testing import DatastoreProcess

from bench.past_hour import live_through
from counters.entities import Counter, CounterShard, shard_id
from counters.settings import CounterSettings
from pushtasks import admin_actions
from pushtasks.database import Database
from pushtasks.delivery import utc_now
from pushtasks.entities import TaskStatistics
from tests.conftest import PROJECT
from tests.default.conftest import DefaultClient

MOST_READS = 150


@pytest.fixture(scope="module")
def full_datastore() -> Iterator[DatastoreProcess]:
    """Counters, kept tasks, statistics of every slot and actions: more of each than a page shows."""
    with DatastoreProcess() as server:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("DATASTORE_EMULATOR_HOST", server.address)
            settings = CounterSettings.read({"GOOGLE_CLOUD_PROJECT": PROJECT})
            database = Database(PROJECT)
            now = utc_now()
            with database.context():
                entities: list[ndb.Model] = []
                for index in range(60):
                    name = f"counter-{index:03d}"
                    entities.append(Counter(id=name, created_at=now, shards=4))
                    entities += [
                        CounterShard(id=shard_id(name, number), value=1, tasks_applied=1)
                        for number in range(4)
                    ]
                ndb.put_multi(entities)
                for number in range(25):
                    admin_actions.record(database, now, "ada", "count", str(number), 1, "done")
            live_through(database, settings, ["counter-000"], minutes=25)
            with database.context():
                assert TaskStatistics.query().count() == settings.slots
        yield server


@pytest.mark.parametrize(
    "path", ["/admin", "/admin/live", "/admin/live?prefix=counter", "/admin/statistics.json"]
)
def test_a_refresh_reads_at_most_150_entities(
    full_datastore: DatastoreProcess,
    environ: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
    path: str,
) -> None:
    monkeypatch.setenv("DATASTORE_EMULATOR_HOST", full_datastore.address)
    default = DefaultClient(environ)
    before = full_datastore.counts()["reads"]
    answer = default.admin(path)
    assert answer.status == 200
    assert b"counter-000" in answer.body
    read = full_datastore.counts()["reads"] - before
    assert 100 < read <= MOST_READS, read


def test_an_increment_of_a_known_counter_reads_nothing(
    full_datastore: DatastoreProcess, environ: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATASTORE_EMULATOR_HOST", full_datastore.address)
    default = DefaultClient(environ)
    counter = "counter-010"
    assert default.post_json(f"/api/counters/{counter}/increments", {"amount": 1}).status == 202
    before = full_datastore.counts()
    for _ in range(5):
        answer = default.post_json(f"/api/counters/{counter}/increments", {"amount": 1})
        assert answer.status == 202
    after = full_datastore.counts()
    assert after["rpcs"] == before["rpcs"]
