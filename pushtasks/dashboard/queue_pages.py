"""Pause, resume and purge a queue."""

from __future__ import annotations

from pushtasks.dashboard.handler import AdminHandler
from pushtasks.web.problems import Problem


class _QueueHandler(AdminHandler):
    def queue_of(self, name: str) -> str:
        if name not in self.service.control.names:
            raise Problem(404, f"There is no queue {name!r} here.", field="queue", value=name)
        return name


class PauseHandler(_QueueHandler):
    """POST /admin/queues/NAME/pause"""

    def post(self, name: str) -> None:
        queue = self.queue_of(name)
        self.service.control.pause(queue)
        self.done("pause", f"queue {queue}", 1, "paused: tasks are taken in, and none is delivered")


class ResumeHandler(_QueueHandler):
    """POST /admin/queues/NAME/resume"""

    def post(self, name: str) -> None:
        queue = self.queue_of(name)
        self.service.control.resume(queue)
        self.done("resume", f"queue {queue}", 1, "running")


class PurgeHandler(_QueueHandler):
    """/admin/queues/NAME/purge: GET asks, POST purges if the queue's name was typed."""

    def get(self, name: str) -> None:
        queue = self.queue_of(name)
        [figures] = [each for each in self.service.control.figures() if each.name == queue]
        self.admin_page("admin/purge.html", queue=figures, typed=None)

    def post(self, name: str) -> None:
        queue = self.queue_of(name)
        figures = {each.name: each for each in self.service.control.figures()}[queue]
        typed = self.field("typed").strip()
        if typed != queue:
            self.admin_page("admin/purge.html", 400, queue=figures, typed=typed)
            return
        self.service.control.purge(queue)
        self.service.overviews.tasks_changed()
        self.done(
            "purge", f"queue {queue}", figures.waiting, "purged; the number is the queue's own estimate"
        )
