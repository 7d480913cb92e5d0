"""Tasks that wait to retry: the list, run or delete one, some, or all that a filter admits."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime

from pushtasks import deletion, retry_groups
from pushtasks.dashboard.handler import AdminHandler, AdminReadHandler, moment_of
from pushtasks.dashboard.overview_page import address
from pushtasks.errors import Rejected
from pushtasks.kept_tasks import MOST_AT_ONCE
from pushtasks.names import parse_task_name
from pushtasks.queue_control import Listing, RetryingTask
from pushtasks.retry_actions import PendingTask, RetryActions, RetrySummary
from pushtasks.retry_groups import PAGE_SIZE, RetryFilter
from pushtasks.web.figures import whole
from pushtasks.web.problems import Problem

RUN, DELETE = "run", "delete"
_WORDS = {RUN: "run now", DELETE: "delete"}


class _RetryingPages(AdminHandler):
    def list_page(self, problem: str = "", status: int = 200) -> None:
        """The list that the request's query asks for."""
        listing: Listing | None = self.service.overviews.between_retries()
        wanted = _filter_of(self.query)
        number = self.query("page", "1")
        is_number = number.isascii() and number.isdigit() and len(number) < 9
        every = listing.tasks if listing else []
        page = retry_groups.page(listing, wanted, int(number) if is_number else 1) if listing else None
        here = {"page": page.number if page and page.number > 1 else ""}
        is_part = self.request.path == "/admin/retrying/live"
        self.admin_page(
            "admin/_retrying_list.html" if is_part else "admin/retrying.html",
            status,
            listing=listing,
            wanted=wanted,
            is_filtered=wanted != RetryFilter(),
            page=page,
            tasks=page.tasks if page else [],
            first=(page.number - 1) * PAGE_SIZE + 1 if page else 0,
            answers=retry_groups.groups(listing, wanted) if listing else [],
            queue_names=sorted({task.queue for task in every} | {wanted.queue} - {""}),
            kind_names=sorted({task.handler for task in every} | {wanted.task} - {""}),
            address=lambda path="/admin/retrying", **more: _address(path, wanted, **more),
            back=_address("/admin/retrying", wanted, **here),
            live=_address("/admin/retrying/live", wanted, **here),
            selectable=True,
            problem=problem,
        )


def _filter_of(read: Callable[[str], str], cutoff: datetime | None = None) -> RetryFilter:
    """The filter that a query or a form names."""
    return RetryFilter(read("answer"), read("task"), read("queue"), read("text").strip(), cutoff)


def _fields(wanted: RetryFilter) -> dict[str, str]:
    """The parts of a filter that aren't empty, as addresses and forms have them."""
    fields = {"answer": wanted.answer, "task": wanted.task, "queue": wanted.queue, "text": wanted.text}
    return {name: value for name, value in fields.items() if value}


def _address(path: str, wanted: RetryFilter, **more: object) -> str:
    return address(path, {**_fields(wanted), **{name: str(value) for name, value in more.items()}})


class RetryingHandler(_RetryingPages, AdminReadHandler):
    """GET /admin/retrying?answer=&task=&queue=&text=&page=; /admin/retrying/live is the part that changes."""

    def get(self) -> None:
        self.list_page()


class _TaskHandler(AdminHandler):
    def task_of(self, queue: str, name: str) -> tuple[str, str]:
        """The queue and task that the address names. Raises Problem or Rejected if it names neither."""
        if queue not in self.service.control.names:
            raise Problem(404, f"There is no queue {queue!r} here.", field="queue", value=queue)
        return queue, parse_task_name(name)

    def run(self, queue: str, name: str) -> tuple[int, str]:
        """How many were run (0 or 1), and the result in words."""
        found = self.service.control.run(queue, name)
        return int(found), "tried" if found else "not there any more: applied, or deleted before"

    def delete(self, queue: str, name: str) -> tuple[int, str]:
        """The same for deleting."""
        return deletion.delete_pending(
            self.service.database,
            self.service.control,
            queue,
            name,
            who=self.caller.email,
            now=self.service.clock(),
            record_life=self.service.settings.record_life,
        )

    def change_all(self, action: str, tasks: Sequence[PendingTask]) -> RetrySummary:
        """Do `action` to many tasks. Raises Rejected if there is no such action."""
        actions: RetryActions = self.service.retries
        _check(action)
        summary = actions.run(tasks) if action == RUN else actions.delete(tasks, self.caller.email)
        self.service.overviews.tasks_changed()
        return summary


def _check(action: str) -> None:
    if action not in _WORDS:
        raise Rejected("action", action, f"{RUN!r} or {DELETE!r}")


class RunNowHandler(_TaskHandler):
    """POST /admin/retrying/QUEUE/TASK/run"""

    def post(self, queue: str, name: str) -> None:
        queue, name = self.task_of(queue, name)
        count, result = self.run(queue, name)
        self.service.overviews.tasks_changed()
        self.done("run now", f"task {name}", count, result)


class DeleteHandler(_TaskHandler):
    """/admin/retrying/QUEUE/TASK/delete: GET asks, POST deletes."""

    def get(self, queue: str, name: str) -> None:
        queue, name = self.task_of(queue, name)
        task = self.service.control.get(queue, name)
        self.admin_page("admin/delete.html", queue=queue, name=name, task=task)

    def post(self, queue: str, name: str) -> None:
        queue, name = self.task_of(queue, name)
        count, result = self.delete(queue, name)
        self.service.overviews.tasks_changed()
        self.done("delete", f"task {name}", count, result)


class SelectedHandler(_TaskHandler, _RetryingPages):
    """POST /admin/retrying/selected: the tasks whose boxes are ticked, each QUEUE/TASK."""

    def post(self) -> None:
        ids = list(dict.fromkeys(self.fields("id")))
        if not ids:
            self.list_page("No task is selected. Tick some first.", 400)
            return
        action = self.field("action")
        summary = self.change_all(action, [self.task_of(*each.partition("/")[::2]) for each in ids])
        target = f"task {ids[0].partition('/')[2]}" if len(ids) == 1 else f"{len(ids)} selected tasks"
        self.done(_WORDS[action], target, summary.changed, summary.sentence)


class AllHandler(_TaskHandler):
    """/admin/retrying/all: GET asks about all that a filter admits, up to now; POST does it to just those."""

    def get(self) -> None:
        action, cutoff = self.query("action"), self.service.clock()
        _check(action)
        wanted = _filter_of(self.query, cutoff)
        count = len(self._selected(wanted))
        self.admin_page(
            "admin/retrying_all.html",
            fields=_fields(wanted),
            words={"answer": "Last answer", "task": "Kind", "queue": "Queue", "text": "Name contains"},
            list_address=_address("/admin/retrying", wanted),
            action=action,
            cutoff=cutoff,
            count=count,
            heading=f"Delete all {whole(count)}" if action == DELETE else f"Run all {whole(count)} now",
            most=MOST_AT_ONCE,
        )

    def post(self) -> None:
        action, cutoff, shown = self.field("action"), moment_of(self.field("cutoff")), self.field("count")
        wanted = _filter_of(self.field, cutoff)
        summary = self.change_all(action, [(task.queue, task.name) for task in self._selected(wanted)])
        sentence = f"{summary.sentence} (shown: {shown[:10]}; created up to {cutoff:%Y-%m-%d %H:%M:%S} UTC)"
        target = ", ".join(f"{name} {value}" for name, value in _fields(wanted).items()) or "every task"
        self.done(f"{_WORDS[action]}, all", target, summary.changed, sentence)

    def _selected(self, wanted: RetryFilter) -> list[RetryingTask]:
        listing: Listing | None = self.service.overviews.between_retries()
        if listing is None:
            raise Problem(
                503, "The tasks can't be listed: Cloud Tasks does not answer. Try again in a moment."
            )
        return retry_groups.selected(listing, wanted)[:MOST_AT_ONCE]
