"""UpdateCounterHandler: answers deliveries of the counters' task, and a form that runs one by hand."""

from __future__ import annotations

import secrets

from pushtasks.delivery import BY_HAND_PREFIX, BY_HAND_QUEUE, Delivery
from pushtasks.errors import Rejected
from pushtasks.names import parse_task_name
from pushtasks.payload import fields_of
from pushtasks.trust import SECURITY_HEADERS, is_cross_site, may_change
from pushtasks.web import task_requests
from pushtasks.web.pages import render
from pushtasks.web.task_handler import TaskHandler


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
            self.answer(400, problem.sentence)
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
        self._page(
            status=self.response.status_int,
            answer=self.response.text.strip(),
            task=name,
            counter=fields.get("counter", ""),
            amount=fields.get("amount", ""),
        )

    def _page(self, status: int = 200, **values: object) -> None:
        self.response.status_int = status
        self.response.headers["Content-Type"] = "text/html; charset=utf-8"
        self.response.headers.update(SECURITY_HEADERS)
        self.response.text = render("update_counter.html", status=status, **values)
