"""A guest book: another application on the same engine, with a page that greets and shows its guests."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from google.cloud import ndb

from pushtasks.dashboard.routes import ADMIN_ROUTES
from pushtasks.delivery import Delivery
from pushtasks.errors import Rejected
from pushtasks.payload import fields_of
from pushtasks.service import Service
from pushtasks.settings import Settings
from pushtasks.task import Task
from pushtasks.web import pages
from pushtasks.web.handler import ReadHandler
from pushtasks.web.problems import not_enqueued
from pushtasks.web.service_application import service_application
from pushtasks.web.worker_application import worker_application
from pushtasks.work import Work

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication


class Guest(ndb.Model):
    visits = ndb.IntegerProperty(indexed=False, default=0)


class WelcomeGuest(Task[str]):
    name = "welcome-guest"
    queues = ("guests",)

    def parse(self, delivery: Delivery) -> str:
        guest = fields_of(delivery.query, delivery.content_type, delivery.body).get("guest")
        if not isinstance(guest, str) or not 1 <= len(guest) <= 100:
            raise Rejected("guest", guest, "a name of 1 to 100 characters")
        return guest

    def apply(self, guest: str, delivery: Delivery, work: Work) -> None:
        work.get(Guest, guest).visits += 1


class GuestsHandler(ReadHandler):
    def get(self) -> None:
        self.page("guests.html", guests=self.service.database.run_query(Guest.query(), 100))

    def post(self) -> None:
        answer = self.service.tasks.enqueue(
            WelcomeGuest, {"guest": self.field("guest")}, key=self.field("key") or None
        )
        if not answer.is_there:
            raise not_enqueued(answer)
        self.see_other(f"/?task={answer.task}")


def default() -> WSGIApplication:
    pages.set_up(Path(__file__).parent / "templates", site_name="Guest book")
    service = Service(Settings.read(os.environ), [WelcomeGuest])
    return service_application(service, [("/", GuestsHandler), *ADMIN_ROUTES])


def worker() -> WSGIApplication:
    application, worker = worker_application(Settings.read(os.environ), [WelcomeGuest], {})
    worker.close_on_sigterm()
    return application
