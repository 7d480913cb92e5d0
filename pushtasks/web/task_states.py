"""GET /api/tasks/NAME: where a task is. Pages and errors lead here, so every enqueuing service has it."""

from __future__ import annotations

from pushtasks.names import parse_handler_name, parse_task_name
from pushtasks.task_state import task_state
from pushtasks.web.handler import ReadHandler
from pushtasks.web.problems import Problem


class TaskStateHandler(ReadHandler):
    """GET /api/tasks/NAME; of another kind than the first in the application's list: ?handler=KIND"""

    def get(self, name: str) -> None:
        parse_task_name(name)
        first = next((kind.name for kind in self.service.kinds), "")
        handler = parse_handler_name(self.query("handler", first))
        kind = self.service.kinds.get(handler)
        state = task_state(self.service.database, self.service.queues, kind, name) if kind else None
        if state is None:
            raise Problem(
                404,
                f"{handler} has no task {name!r}: never enqueued, or purged, or its record expired.",
                field="task",
                value=name,
                expected=f"the name of a task of {handler} (of another kind: ?handler=KIND)",
            )
        body = {
            "task": state.name,
            "state": state.state,
            "note": state.note,
            "attempts": state.attempts,
            "last_response": state.last_response,
        }
        self.json({name: value for name, value in body.items() if value is not None})


TASK_ROUTES = [("/api/tasks/([^/]+)", TaskStateHandler)]
