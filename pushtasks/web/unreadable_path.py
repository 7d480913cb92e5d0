"""Deliveries whose path is not a line of UTF-8. No kind takes them: they are kept as rejected."""

from __future__ import annotations

from typing import NoReturn

from pushtasks.delivery import Delivery
from pushtasks.errors import Rejected
from pushtasks.task import Task
from pushtasks.web.task_handler import TaskHandler
from pushtasks.work import Work


class UnreadablePath(Task[None]):
    """A kind of its own, so that such tasks have records, and show on the dashboard."""

    name = "unreadable-path"
    queues = ("unreadable-path",)

    def parse(self, delivery: Delivery) -> NoReturn:
        raise Rejected("path", delivery.path, "percent-encoded UTF-8 on one line")

    def apply(self, payload: None, delivery: Delivery, work: Work) -> None:
        """Never called: `parse` rejects."""


class UnreadablePathHandler(TaskHandler):
    @property
    def task(self) -> str:
        return UnreadablePath.name
