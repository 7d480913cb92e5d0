"""Kinds of task of one's own on the worker: sell a seat once, in groups and alone, with a page of its own."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from google.cloud import ndb
from localcloud.testing import FaultyProxy

from pushtasks.database import Database
from pushtasks.delivery import Delivery, Outcome
from pushtasks.entities import KeptTask, TaskRecord
from pushtasks.errors import DatastoreUnavailable, Rejected
from pushtasks.settings import Settings
from pushtasks.task import Task
from pushtasks.web.task_handler import TaskHandler
from pushtasks.web.worker_application import worker_application
from pushtasks.work import Ref, Work
from pushtasks.worker import Worker
from tests.conftest import PROJECT
from tests.worker.conftest import ON_APP_ENGINE, WorkerClient

QUEUE = ("sales",)


class Seat(ndb.Model):
    """Keyed by its number; sold to somebody, or to nobody yet."""

    buyer = ndb.TextProperty()


class SellSeat(Task[str]):
    """Sells a seat to the task that comes first."""

    name = "sell-seat"
    queues = QUEUE

    def parse(self, delivery: Delivery) -> str:
        seat = delivery.body.decode()
        if not seat:
            raise Rejected("seat", None, "a seat's number")
        return seat

    def reads(self, seat: str, slot: int) -> Iterable[Ref]:
        return [(Seat, seat)]

    def apply(self, seat: str, delivery: Delivery, work: Work) -> None:
        sold = work.get(Seat, seat)
        if sold.buyer is not None:
            raise Rejected("seat", seat, "one that is not sold")
        sold.buyer = delivery.name

    def note(self, seat: str) -> dict[str, object]:
        return {"seat": seat}


class SellSeatAlone(SellSeat):
    """The same with a transaction for each task."""

    name = "sell-seat-alone"
    most_grouped = 1


class SellSeatHandler(TaskHandler):
    """Answers more than deliveries: a visitor is told what this is."""

    def get(self) -> None:
        self.answer(200, f"{self.task} sells seats.")


Sell = Callable[..., Outcome]


@pytest.fixture(params=[SellSeat, SellSeatAlone])
def kind(request: pytest.FixtureRequest) -> Any:
    return request.param


@pytest.fixture
def worker(database: Database) -> Worker:
    return Worker(Settings.read(ON_APP_ENGINE), [SellSeat, SellSeatAlone])


@pytest.fixture
def sell(worker: Worker, kind: type[SellSeat]) -> Sell:
    """`sell(seat, buyer)`: the outcome of delivering the task that is named after the buyer."""

    def deliver(seat: str, buyer: str) -> Outcome:
        return worker.deliver(kind.name, Delivery(name=buyer, queue="sales", body=seat.encode()))

    return deliver


def test_a_task_that_what_is_stored_forbids_is_kept_for_a_person(
    sell: Sell, kind: type[SellSeat], database: Database, name: str
) -> None:
    outcomes = [sell(name, f"{buyer}-{name}") for buyer in ("early", "late", "late", "early")]

    assert outcomes == [Outcome.APPLIED, Outcome.REJECTED, Outcome.DUPLICATE, Outcome.DUPLICATE]
    with database.context():
        record = TaskRecord.key_of(kind.name, f"late-{name}").get()
        kept = ndb.Key(KeptTask, record.key.id()).get()
        assert (record.outcome, kept.state) == ("rejected", "kept")
        assert kept.reason == "seat: expected one that is not sold"
        assert ndb.Key(Seat, name).get().buyer == f"early-{name}"


def test_of_many_who_want_a_seat_at_once_one_gets_it_and_the_others_are_rejected(
    sell: Sell, database: Database, name: str
) -> None:
    buyers = [f"{secrets.token_hex(4)}-{name}" for _ in range(12)]
    with ThreadPoolExecutor(len(buyers)) as pool:
        outcomes = list(pool.map(lambda buyer: sell(name, buyer), buyers))

    assert sorted(outcomes) == [Outcome.APPLIED] + [Outcome.REJECTED] * (len(buyers) - 1)
    with database.context():
        assert ndb.Key(Seat, name).get().buyer == buyers[outcomes.index(Outcome.APPLIED)]


def test_a_rejected_task_takes_none_of_its_neighbours_along(
    sell: Sell, database: Database, name: str
) -> None:
    assert sell(f"taken-{name}", f"before-{name}") is Outcome.APPLIED
    seats = [f"taken-{name}", *(f"free-{number}-{name}" for number in range(9))]
    with ThreadPoolExecutor(len(seats)) as pool:
        outcomes = list(pool.map(lambda seat: sell(seat, f"of-{seat}"), seats))

    assert outcomes == [Outcome.REJECTED] + [Outcome.APPLIED] * 9


def test_what_a_task_can_not_parse_is_rejected_with_its_reason(
    sell: Sell, kind: type[SellSeat], database: Database, name: str
) -> None:
    assert sell("", name) is Outcome.REJECTED
    with database.context():
        kept = ndb.Key(KeptTask, TaskRecord.key_of(kind.name, name).id()).get()
    assert kept.detail == "seat is missing. Expected a seat's number."


def test_every_kind_answers_at_its_own_address_and_one_may_answer_more_than_deliveries(
    database: Database, name: str
) -> None:
    def create(environ: Mapping[str, str]) -> Any:
        return worker_application(
            Settings.read(environ), [SellSeat, SellSeatAlone], {SellSeat: SellSeatHandler}
        )

    client = WorkerClient(ON_APP_ENGINE, create)

    assert client.request("/sell-seat", "GET").text == "sell-seat sells seats.\n"
    assert client.request("/sell-seat-alone", "GET").status_int == 405
    for kind in (SellSeat, SellSeatAlone):
        seat = f"{kind.name}-{name}".encode()
        answers = [client.deliver(f"/{kind.name}", seat, task=f"{kind.name}-{name}").text for _ in range(2)]
        assert answers == ["applied\n", "duplicate\n"]
        assert client.request(f"/{kind.name}", body=seat).status_int == 403
    with database.context():
        record = TaskRecord.key_of("sell-seat", f"sell-seat-{name}").get()
    assert record.note == f'{{"seat":"sell-seat-{name}"}}'


def test_reads_inside_a_transaction_are_not_retried_once_it_is_dead(
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
