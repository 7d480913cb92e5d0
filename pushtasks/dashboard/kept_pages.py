"""Kept tasks, rejected, given up or deleted: look at them, enqueue them again, discard them."""

from __future__ import annotations

from datetime import datetime

from pushtasks import kept_tasks
from pushtasks.dashboard.handler import AdminHandler, AdminReadHandler
from pushtasks.entities import KEPT
from pushtasks.errors import Rejected
from pushtasks.kept_tasks import MOST_AT_ONCE, STATES, parse_state
from pushtasks.re_enqueue import ActionSummary, KeptTaskActions, parse_edit
from pushtasks.web.problems import Problem

ENQUEUE, DISCARD = "enqueue again", "discard"


class KeptHandler(AdminReadHandler):
    """GET /admin/kept?state=&reason=&cursor="""

    def get(self) -> None:
        state = parse_state(self.query("state", KEPT))
        reason = self.query("reason")
        database = self.service.database
        self.admin_page(
            "admin/kept.html",
            page=kept_tasks.page(database, state, reason, self.query("cursor") or None),
            count=kept_tasks.count(database, state, reason),
            most=MOST_AT_ONCE,
            state=state,
            states=STATES,
            reason=reason,
            cursor=self.query("cursor"),
        )


class KeptTaskHandler(AdminReadHandler):
    """GET /admin/kept/task?id=: one task, with the form that edits it."""

    def get(self) -> None:
        task = kept_tasks.find(self.service.database, self.query("id"))
        if task is None:
            raise Problem(404, "There is no kept task of this id.", field="id", value=self.query("id"))
        self.admin_page("admin/kept_task.html", task=task)


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


class SelectedHandler(_ActionHandler):
    """POST /admin/kept/selected: the tasks whose boxes are ticked."""

    def post(self) -> None:
        task_ids, action = list(self.fields("id")), self.field("action")
        if not task_ids:
            raise Problem(400, "No task is selected. Go back and tick some.", field="id")
        if len(task_ids) > MOST_AT_ONCE:
            raise Rejected("id", f"{len(task_ids)} ids", f"at most {MOST_AT_ONCE}")
        summary = self.act(action, task_ids)
        target = f"task {task_ids[0]}" if len(task_ids) == 1 else f"{len(task_ids)} selected tasks"
        self.done(action, target, summary.changed, summary.sentence)


class EditedHandler(AdminHandler):
    """POST /admin/kept/edited: one task, with what to send instead."""

    def post(self) -> None:
        task_id = self.field("id")
        task = kept_tasks.find(self.service.database, task_id)
        if task is None:
            raise Problem(404, "There is no kept task of this id.", field="id", value=task_id)
        edit = parse_edit(self.field("path"), self.field("payload"), task.path, task.payload)
        summary = self.service.kept_tasks.enqueue_again([task_id], edit)
        self.service.overviews.tasks_changed()
        action = f"{ENQUEUE}, edited" if edit else ENQUEUE
        self.done(action, f"task {task_id}", summary.changed, summary.sentence)


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
            cutoff=cutoff,
            count=count,
            most=MOST_AT_ONCE,
        )

    def post(self) -> None:
        reason, action = self._reason(self.field("reason")), self.field("action")
        cutoff, shown = _time(self.field("cutoff")), self.field("count")
        task_ids = kept_tasks.ids_up_to(self.service.database, KEPT, reason, cutoff)
        summary = self.act(action, task_ids)
        sentence = f"{summary.sentence} (shown: {shown[:10]}; kept up to {cutoff:%Y-%m-%d %H:%M:%S} UTC)"
        self.done(f"{action}, all", f"reason {reason}", summary.changed, sentence)

    def _reason(self, text: str) -> str:
        if not text:
            raise Rejected("reason", text, "a reason to pick tasks by")
        return text


def _time(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        moment = datetime.min
    if moment.tzinfo is None:
        raise Rejected("cutoff", text, "the time that the page asked about")
    return moment
