"""The kinds of task that this application has."""

from __future__ import annotations

from collections.abc import Mapping

from google.cloud import ndb

from pushtasks.delivery import Delivery
from pushtasks.errors import Rejected
from pushtasks.payload import fields_of
from pushtasks.task import Task
from pushtasks.work import Work


class Guest(ndb.Model):
    """Keyed by name."""

    visits = ndb.IntegerProperty(indexed=False, default=0)


def parse_guest(fields: Mapping[str, object]) -> str:
    """The guest's name. Raises Rejected."""
    guest = fields.get("guest")
    if not isinstance(guest, str) or not 1 <= len(guest) <= 100 or not guest.isprintable():
        raise Rejected("guest", guest, "a name of 1 to 100 characters")
    return guest


class WelcomeGuest(Task[str]):
    """Counts a visit, exactly once."""

    name = "welcome-guest"
    queues = ("guests",)

    def parse(self, delivery: Delivery) -> str:
        return parse_guest(fields_of(delivery.query, delivery.content_type, delivery.body))

    def apply(self, guest: str, delivery: Delivery, work: Work) -> None:
        work.get(Guest, guest).visits += 1


TASKS = (WelcomeGuest,)
"""A new kind of task is a class like the one above, a place in this list, and a queue in queue.yaml."""
