"""Kept tasks, which the page calls rejected: look at them, enqueue them again, discard them."""

from __future__ import annotations

from dataclasses import dataclass

from pushtasks import kept_tasks
from pushtasks.dashboard.handler import AdminHandler, AdminReadHandler, moment_of
from pushtasks.dashboard.overview_page import address
from pushtasks.entities import (
    DELETED,
    DISCARDED,
    GAVE_UP,
    KEPT,
    RE_ENQUEUED,
    RE_ENQUEUEING,
    REFUSED,
    REJECTED,
)
from pushtasks.errors import Rejected
from pushtasks.kept_tasks import MOST_AT_ONCE, STATES, KeptTaskView, parse_state
from pushtasks.re_enqueue import ActionSummary, KeptTaskActions, parse_edit
from pushtasks.web.figures import whole
from pushtasks.web.problems import Problem, wants_page

ENQUEUE, DISCARD = "enqueue again", "discard"

STATE_NAMES = {
    KEPT: "Needs a decision",
    RE_ENQUEUEING: "Being enqueued again",
    RE_ENQUEUED: "Enqueued again",
    DISCARDED: "Discarded",
}
_HEADINGS = {
    REJECTED: "Rejected task",
    GAVE_UP: "Task that failed too often",
    DELETED: "Deleted task",
    REFUSED: "Task that its queue refused",
}
OUTCOME_NAMES = {
    REJECTED: "rejected",
    GAVE_UP: "gave up",
    DELETED: "deleted",
    REFUSED: "refused by the queue",
}


class _KeptPages(AdminHandler):
    """What shows lists of kept tasks, and single ones."""

    def list_page(self, state: str, problem: str = "", status: int = 200) -> None:
        """The list that the request's query asks for."""
        reason, cursor = self.query("reason"), self.query("cursor")
        kind, text = self.query("kind"), self.query("text").strip()
        database = self.service.database
        if kind or text:
            page = kept_tasks.search(database, state, reason, cursor or None, kind=kind, text=text)
        else:
            page = kept_tasks.page(database, state, reason, cursor or None)
        query = {"state": state, "reason": reason, "kind": kind, "text": text, "cursor": cursor}
        self.admin_page(
            "admin/kept.html",
            status,
            page=page,
            count=None if kind or text else kept_tasks.count(database, state, reason),
            searched=page.looked_through,
            most=MOST_AT_ONCE,
            state=state,
            states=STATES,
            state_names=STATE_NAMES,
            outcome_names=OUTCOME_NAMES,
            reason=reason,
            kind=kind,
            text=text,
            kind_names=[each.name for each in self.service.kinds],
            cursor=cursor,
            problem=problem,
            address=lambda **changed: address("/admin/kept", {**query, **changed}),
        )

    def task_page(self, task: KeptTaskView, edit: _FormEdit | None = None) -> None:
        """One task, with the form that edits it, as it was sent if there is something wrong with it."""
        self.admin_page(
            "admin/kept_task.html",
            400 if edit else 200,
            task=task,
            state_names=STATE_NAMES,
            headings=_HEADINGS,
            own_address=address("/admin/kept/task", {"id": task.id}),
            path=edit.path if edit else task.path,
            payload=edit.payload if edit else task.text or "",
            wrong=edit.wrong if edit else "",
            problem=edit.problem if edit else "",
        )

    def find(self, task_id: str) -> KeptTaskView:
        task = kept_tasks.find(self.service.database, task_id)
        if task is None:
            raise Problem(404, "There is no rejected task of this id.", field="id", value=task_id)
        return task


@dataclass(frozen=True, slots=True)
class _FormEdit:
    """An edit that can't be enqueued: what was typed, which field is wrong, and why."""

    path: str
    payload: str
    wrong: str
    problem: str


class KeptHandler(_KeptPages, AdminReadHandler):
    """GET /admin/kept?state=&reason=&kind=&text=&cursor="""

    def get(self) -> None:
        self.list_page(parse_state(self.query("state", KEPT)))


class KeptTaskHandler(_KeptPages, AdminReadHandler):
    """GET /admin/kept/task?id=: one task, with the form that edits it."""

    def get(self) -> None:
        self.task_page(self.find(self.query("id")))


class _ActionHandler(AdminHandler):
    def act(self, action: str, task_ids: list[str]) -> ActionSummary:
        actions: KeptTaskActions = self.service.kept_tasks
        if action == ENQUEUE:
            summary = actions.enqueue_again(task_ids)
        elif action == DISCARD:
            summary = actions.discard(task_ids)
        else:
            raise Rejected("action", action, f"{ENQUEUE!r} or {DISCARD!r}")
        self.service.overviews.tasks_changed()
        return summary


class SelectedHandler(_ActionHandler, _KeptPages):
    """POST /admin/kept/selected: the tasks whose boxes are ticked."""

    def post(self) -> None:
        task_ids, action = list(self.fields("id")), self.field("action")
        if not task_ids:
            if not wants_page(self.headers.get("accept", "")):
                raise Rejected("id", None, "the id of a kept task")
            self.list_page(KEPT, "No task is selected. Tick some first.", 400)
            return
        if len(task_ids) > MOST_AT_ONCE:
            raise Rejected("id", f"{len(task_ids)} ids", f"at most {MOST_AT_ONCE}")
        summary = self.act(action, task_ids)
        target = f"task {task_ids[0]}" if len(task_ids) == 1 else f"{len(task_ids)} selected tasks"
        self.done(action, target, summary.changed, summary.sentence)


class EditedHandler(_KeptPages):
    """POST /admin/kept/edited: one task, with what to send instead; checked as its kind would check it."""

    def post(self) -> None:
        task = self.find(self.field("id"))
        path, payload = self.field("path"), self.field("payload")
        try:
            edit = parse_edit(path, payload, task.path, task.payload)
            if edit is not None:
                self.service.kept_tasks.check(task, edit)
        except Rejected as wrong:
            if not wants_page(self.headers.get("accept", "")):
                raise
            field = "path" if wrong.field == "path" else "payload"
            self.task_page(task, _FormEdit(path, payload, field, wrong.sentence))
            return
        summary = self.service.kept_tasks.enqueue_again([task.id], edit)
        self.service.overviews.tasks_changed()
        action = f"{ENQUEUE}, edited" if edit else ENQUEUE
        self.done(action, f"task {task.id}", summary.changed, summary.sentence)


class AllHandler(_ActionHandler):
    """/admin/kept/all: GET asks about all of one reason, up to now; POST does it to just those."""

    def get(self) -> None:
        reason, action = self._reason(self.query("reason")), self.query("action")
        cutoff = self.service.clock()
        count = kept_tasks.count(self.service.database, KEPT, reason, cutoff)
        self.admin_page(
            "admin/kept_all.html",
            reason=reason,
            action=DISCARD if action == DISCARD else ENQUEUE,
            heading=_heading(action, count),
            cutoff=cutoff,
            count=count,
            most=MOST_AT_ONCE,
        )

    def post(self) -> None:
        reason, action = self._reason(self.field("reason")), self.field("action")
        cutoff, shown = moment_of(self.field("cutoff")), self.field("count")
        task_ids = kept_tasks.ids_up_to(self.service.database, KEPT, reason, cutoff)
        summary = self.act(action, task_ids)
        sentence = f"{summary.sentence} (shown: {shown[:10]}; kept up to {cutoff:%Y-%m-%d %H:%M:%S} UTC)"
        self.done(f"{action}, all", f"reason {reason}", summary.changed, sentence)

    def _reason(self, text: str) -> str:
        if not text:
            raise Rejected("reason", text, "a reason to pick tasks by")
        return text


def _heading(action: str, count: int | None) -> str:
    """What is asked, such as "Discard all 7"."""
    number = "" if count is None else f" {whole(count)}"
    more = ", the latest of more" if (count or 0) >= MOST_AT_ONCE else ""
    if count is None:
        more = ", whose number can\N{RIGHT SINGLE QUOTATION MARK}t be counted just now"
    return f"Discard all{number}{more}" if action == DISCARD else f"Enqueue all{number} again{more}"
