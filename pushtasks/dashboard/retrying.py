"""Tasks between retries: the list, run one now, delete one."""

from __future__ import annotations

from pushtasks import deletion
from pushtasks.dashboard.handler import AdminHandler, AdminReadHandler
from pushtasks.names import parse_task_name
from pushtasks.web.problems import Problem


class RetryingHandler(AdminReadHandler):
    """GET /admin/retrying"""

    def get(self) -> None:
        self.admin_page("admin/retrying.html", listing=self.service.overviews.between_retries())


class _TaskHandler(AdminHandler):
    def task_of(self, queue: str, name: str) -> tuple[str, str]:
        """Queue and task of the address. Raises Problem or Rejected for what is none."""
        if queue not in self.service.control.names:
            raise Problem(404, f"There is no queue {queue!r} here.", field="queue", value=queue)
        return queue, parse_task_name(name)


class RunNowHandler(_TaskHandler):
    """POST /admin/retrying/QUEUE/TASK/run"""

    def post(self, queue: str, name: str) -> None:
        queue, name = self.task_of(queue, name)
        found = self.service.control.run(queue, name)
        self.service.overviews.tasks_changed()
        result = "tried" if found else "not there any more: applied, or deleted before"
        self.done("run now", f"task {name}", int(found), result)


class DeleteHandler(_TaskHandler):
    """/admin/retrying/QUEUE/TASK/delete: GET asks, POST deletes."""

    def get(self, queue: str, name: str) -> None:
        queue, name = self.task_of(queue, name)
        self.admin_page(
            "admin/delete.html", queue=queue, name=name, task=self.service.control.get(queue, name)
        )

    def post(self, queue: str, name: str) -> None:
        queue, name = self.task_of(queue, name)
        count, result = deletion.delete_pending(
            self.service.database,
            self.service.control,
            queue,
            name,
            who=self.caller.email,
            now=self.service.clock(),
            record_life=self.service.settings.record_life,
        )
        self.service.overviews.tasks_changed()
        self.done("delete", f"task {name}", count, result)
