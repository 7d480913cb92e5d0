"""One task with its timeline, and the field that finds it by its name or its Idempotency-Key."""

from __future__ import annotations

from pushtasks.dashboard.handler import AdminHandler, AdminReadHandler
from pushtasks.errors import Rejected
from pushtasks.names import parse_handler_name, parse_task_name
from pushtasks.timeline import PENDING, Timeline, Timelines
from pushtasks.web.figures import task_page

_TONES = {
    "applied": "ok",
    "rejected": "bad",
    "gave-up": "bad",
    "deleted": "bad",
    "attempt failed": "bad",
    "next try": "next",
    "first try": "next",
    "record expires": "next",
}
"""How the timeline shows an event; all others plainly."""

_MOST_SHOWN = 20_000


class _TaskPages(AdminHandler):
    def show(self, found: Timeline) -> None:
        payload = found.payload
        text = found.text
        is_hex = payload is not None and text is None
        shown = text if text is not None else (payload or b"").hex(" ")
        kept = found.kept
        self.admin_page(
            "admin/task.html",
            task=found,
            tones=_TONES,
            is_pending=found.state == PENDING,
            is_hex=is_hex,
            payload=shown[:_MOST_SHOWN],
            is_cut=len(shown) > _MOST_SHOWN,
            can_enqueue=kept is not None and kept.state in ("kept", "discarded", "re-enqueueing"),
            kept=kept,
        )

    def unknown(self, text: str, kind: str, problem: str = "") -> None:
        self.admin_page(
            "admin/not_found.html",
            400 if problem else 404 if text else 200,
            text=text,
            kind=kind,
            kind_names=[each.name for each in self.service.kinds],
            problem=problem,
        )


class TaskHandler(_TaskPages, AdminReadHandler):
    """GET /admin/tasks/NAME?kind="""

    def get(self, name: str) -> None:
        parse_task_name(name)
        kind = self.query("kind")
        timelines: Timelines = self.service.timelines
        if kind:
            queue = self.query("queue")
            known = queue if queue in self.service.control.names else ""
            found = timelines.of(parse_handler_name(kind), name, known)
        else:
            found = timelines.find(name)
        if found is None:
            self.unknown(name, kind)
        else:
            self.show(found)


class FindHandler(_TaskPages, AdminReadHandler):
    """GET /admin/find?q=&kind=: to the task of this name, or of this Idempotency-Key."""

    def get(self) -> None:
        text, kind = self.query("q").strip(), self.query("kind")
        if not text:
            self.unknown("", kind)
            return
        try:
            found: Timeline | None = self.service.timelines.find(text, kind)
        except Rejected as neither:
            self.unknown(text, kind, neither.sentence)
            return
        if found is None:
            self.unknown(text, kind)
        else:
            self.see_other(task_page(found.name, found.task))
