"""UpdateCounterHandler: answers deliveries of the counters' task, and a form that runs one by hand."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

from pushtasks import kept_tasks
from pushtasks.delivery import BY_HAND_PREFIX, BY_HAND_QUEUE, Delivery, Outcome
from pushtasks.entities import task_id
from pushtasks.errors import Rejected, TaskFailure
from pushtasks.names import parse_task_name
from pushtasks.payload import fields_of
from pushtasks.trust import SECURITY_HEADERS, is_cross_site, may_change
from pushtasks.web import task_requests
from pushtasks.web.pages import render
from pushtasks.web.task_handler import TaskHandler

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment


_TONES: dict[str, str] = {Outcome.APPLIED: "ok", Outcome.DUPLICATE: ""}
"""How the page shows an outcome; all others as bad."""

_UNAPPLIED = (Outcome.REJECTED, Outcome.GAVE_UP)


class UpdateCounterHandler(TaskHandler):
    """POST /update-counter: a delivery of `UpdateCounter`. For administrators, a form to run one by hand."""

    def get(self) -> None:
        """The form that runs this handler by hand, for administrators: see a second delivery do nothing."""
        if not self.caller.is_admin:
            self.answer(403, "Only an administrator may run this by hand. Sign in as one.")
            return
        self._page(task=secrets.token_hex(4), counter="", amount="1")

    def post(self) -> None:
        caller = self.caller
        if caller.is_task or not caller.is_admin:
            super().post()
        elif is_cross_site(self.headers):
            self.answer(
                403, "This form must be sent from its own page. Open /update-counter and send it there."
            )
        elif not may_change(caller, self.worker.settings):
            editors = self.worker.settings.variable_of("editors")
            self.answer(403, f"{caller.email} may look, but not change anything ({editors}).")
        else:
            self._run_by_hand()

    def _run_by_hand(self) -> None:
        environ = self.request.environ
        content_type, body = environ[task_requests.CONTENT_TYPE], task_requests.body_of(environ)
        try:
            fields = fields_of("", content_type, body)
            name = parse_task_name(fields.get("task"))
        except Rejected as problem:
            self._page(400, answer=problem.sentence, tone="bad", **_typed(environ, body))
            return
        self.run(
            Delivery(
                name=BY_HAND_PREFIX + name,
                queue=BY_HAND_QUEUE,
                path=environ[task_requests.PATH],
                content_type=content_type,
                body=body,
            )
        )
        outcome = self.response.text.strip()
        self._page(
            self.response.status_int,
            answer=outcome,
            tone=_TONES.get(outcome, "bad"),
            reason=self._reason(BY_HAND_PREFIX + name) if outcome in _UNAPPLIED else "",
            task=name,
            counter=fields.get("counter", ""),
            amount=fields.get("amount", ""),
        )

    def _reason(self, name: str) -> str:
        """Why a task was not applied, as it was recorded; empty if that can't be read."""
        try:
            with self.worker.database.context():
                kept = kept_tasks.find(self.worker.database, task_id(self.task, name))
        except TaskFailure:
            return ""
        return kept.detail if kept is not None else ""

    def _page(self, status: int = 200, *, reason: str = "", **values: object) -> None:
        self.response.status_int = status
        self.response.headers["Content-Type"] = "text/html; charset=utf-8"
        self.response.headers.update(SECURITY_HEADERS)
        self.response.text = render("update_counter.html", status=status, reason=reason, **values)


def _typed(environ: WSGIEnvironment, body: bytes) -> dict[str, str]:
    """The form's fields as they were sent, to be shown again; empty if they can't be read."""
    try:
        sent = fields_of("", environ[task_requests.CONTENT_TYPE], body)
    except Rejected:
        sent = {}
    return {name: str(sent.get(name, "")) for name in ("task", "counter", "amount")}
