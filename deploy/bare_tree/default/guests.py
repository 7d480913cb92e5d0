"""The page: who was here, and a form that welcomes somebody."""

from __future__ import annotations

import secrets

from guests.tasks import Guest, WelcomeGuest, parse_guest
from pushtasks.names import parse_idempotency_key, parse_task_name
from pushtasks.task_state import task_state
from pushtasks.web.handler import ReadHandler
from pushtasks.web.problems import not_enqueued


class GuestsHandler(ReadHandler):
    """GET / shows the guests; POST / enqueues a welcome."""

    def get(self) -> None:
        database, task = self.service.database, self.query("task")
        state = None
        if task:
            kind = self.service.kinds.of(WelcomeGuest)
            state = task_state(database, self.service.queues, kind, parse_task_name(task))
        guests = database.run_query(Guest.query().order(Guest._key), limit=50)
        self.page("guests.html", guests=guests, state=state, key=secrets.token_hex(12))

    def post(self) -> None:
        guest = parse_guest({"guest": self.field("guest").strip()})
        key = parse_idempotency_key(self.field("key") or None)
        answer = self.service.tasks.enqueue(WelcomeGuest, {"guest": guest}, key=key)
        if not answer.is_there:
            raise not_enqueued(answer)
        self.see_other(f"/?task={answer.task}")
