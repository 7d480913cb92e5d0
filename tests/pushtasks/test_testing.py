"""What an application's own tests use: a real delivery, twice."""

from __future__ import annotations

import json

import pytest
from google.cloud import ndb

from pushtasks.delivery import Delivery, Outcome
from pushtasks.errors import Rejected
from pushtasks.task import Task
from pushtasks.testing import perform
from pushtasks.work import Work
from tests.pushtasks.conftest import MakeWorker


class Visit(ndb.Model):
    count = ndb.IntegerProperty(indexed=False, default=0)


class Welcome(Task[str]):
    name = "welcome"
    queues = ("guests",)

    def parse(self, delivery: Delivery) -> str:
        guest = json.loads(delivery.body)["guest"]
        if not guest:
            raise Rejected("guest", guest, "a name")
        return str(guest)

    def apply(self, guest: str, delivery: Delivery, work: Work) -> None:
        if guest == "nobody":
            raise LookupError("nobody is not a guest")
        work.get(Visit, guest).count += 1


def test_a_task_is_delivered_twice_and_takes_effect_once(make_worker: MakeWorker, name: str) -> None:
    worker = make_worker(Welcome)

    assert perform(worker, Welcome, {"guest": name}) is Outcome.APPLIED
    assert perform(worker, Welcome, {"guest": ""}) is Outcome.REJECTED
    with worker.database.context():
        assert ndb.Key(Visit, name).get().count == 1


def test_what_the_task_raises_comes_out(make_worker: MakeWorker) -> None:
    with pytest.raises(LookupError, match="nobody is not a guest"):
        perform(make_worker(Welcome), Welcome, {"guest": "nobody"})
