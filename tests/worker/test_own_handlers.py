"""What a fork's own handler may do inside the transaction: read, and find that a task can't be applied."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

import pytest
from google.cloud import ndb
from localcloud.testing import FaultyProxy

from pushtasks.applier import Applier, Work
from pushtasks.database import Database
from pushtasks.delivery import Delivery, Outcome
from pushtasks.entities import KeptTask, TaskRecord
from pushtasks.errors import DatastoreUnavailable, Rejected
from pushtasks.settings import Settings
from pushtasks.web.task_handler import TaskHandler
from pushtasks.worker import Worker
from tests.conftest import PROJECT
from tests.worker.conftest import ON_APP_ENGINE


class Seat(ndb.Model):
    """Keyed by its number; there once it is sold."""


class SellSeatHandler(TaskHandler):
    name = "sell-seat"

    @classmethod
    def parse(cls, task: Delivery) -> str:
        return task.body.decode()

    @classmethod
    def apply(cls, seat: str, task: Delivery) -> Iterable[ndb.Model]:
        if ndb.Key(Seat, seat).get():
            raise Rejected("seat", seat, "one that is not sold")
        return [Seat(id=seat)]


class SellSeatsTogether(SellSeatHandler):
    most_grouped = 10

    @classmethod
    def work(cls, process: Worker) -> Work[Any]:
        class Together:
            name = cls.name
            parse = staticmethod(cls.parse)

            def prepare(self, seats: Sequence[str]) -> None: ...

            def reads(self, seats: Sequence[str]) -> Iterable[ndb.Key]:
                return [ndb.Key(Seat, seat) for seat in seats]

            def apply(
                self, seats: Sequence[str], tasks: Sequence[Delivery], now: datetime
            ) -> Iterable[ndb.Model]:
                pairs = zip(seats, tasks, strict=True)
                return [sold for seat, task in pairs for sold in SellSeatHandler.apply(seat, task)]

            def noted(self, seat: str) -> dict[str, Any]:
                return {}

        return Together()


def sale(seat: str, name: str) -> Delivery:
    return Delivery(name=name, queue="sales", path="/sell-seat", body=seat.encode())


@pytest.fixture
def process(database: Database) -> Worker:
    return Worker(Settings.read(ON_APP_ENGINE), [SellSeatHandler])


def test_a_task_that_what_is_stored_forbids_is_kept_for_a_person(
    process: Worker, database: Database, name: str
) -> None:
    outcomes = [
        process.deliver("sell-seat", sale(name, f"{buyer}-{name}"))
        for buyer in ("early", "late", "late", "early")
    ]

    assert outcomes == [Outcome.APPLIED, Outcome.REJECTED, Outcome.DUPLICATE, Outcome.DUPLICATE]
    with database.context():
        record = TaskRecord.key_of("sell-seat", f"late-{name}").get()
        kept = ndb.Key(KeptTask, record.key.id()).get()
    assert (record.outcome, kept.state) == ("rejected", "kept")
    assert kept.reason == "seat: expected one that is not sold"


def test_of_a_group_only_the_forbidden_task_is_rejected(
    process: Worker, database: Database, name: str
) -> None:
    applier = Applier(SellSeatsTogether.work(process), database, process.settings, process.slot)
    taken, free = (applier.receive(sale(f"{seat}-{name}", f"{seat}-{name}")) for seat in ("taken", "free"))
    process.deliver("sell-seat", sale(f"taken-{name}", f"before-{name}"))

    with pytest.raises(Rejected):
        applier.apply([taken, free])

    # What the committer does with a group that fails:
    assert [applier.apply([each])[0] for each in (taken, free)] == [Outcome.REJECTED, Outcome.APPLIED]


def test_a_handlers_own_reads_are_not_retried_inside_a_dead_transaction(
    datastore_address: str, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    with FaultyProxy(datastore=datastore_address) as proxy:
        monkeypatch.setenv("DATASTORE_EMULATOR_HOST", proxy.datastore_address)
        database = Database(PROJECT)
        lookups: list[object] = []
        method = database._client.stub.lookup
        send = method.future

        def count_and_send(*request: Any, **how: Any) -> Any:
            lookups.append(request)
            return send(*request, **how)

        monkeypatch.setattr(method, "future", count_and_send)
        proxy.set_faults(datastore=[{"method": "Lookup", "fault": "request_lost", "code": "UNAVAILABLE"}])
        with database.context(), pytest.raises(DatastoreUnavailable):
            database.transaction(lambda: ndb.Key(Seat, name).get())

    assert len(lookups) == 1
