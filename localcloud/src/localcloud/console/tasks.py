"""What the console asks of Cloud Tasks: each method is one call."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from localcloud.console.calls import Calls
from localcloud.console.surroundings import side_port
from localcloud.tasks import messages as m

_SERVICE = "/google.cloud.tasks.v2.CloudTasks/"
_BETA_SERVICE = "/google.cloud.tasks.v2beta3.CloudTasks/"
_PAGE_SIZE = 100


@dataclass(frozen=True, slots=True)
class TaskPage:
    """A part of a queue's tasks. `token` begins the next one; empty after the last."""

    tasks: Sequence[Any]
    token: str


class Tasks:
    """Cloud Tasks' methods, as the console needs them. All raise Refused."""

    def __init__(self, calls: Calls, side_address: str | None) -> None:
        self._calls = calls
        self._side_address = side_address

    def queues(self, location: str) -> Sequence[Any]:
        """The queues with their statistics, as v2beta3 gives them."""
        request = m.BetaListQueuesRequest(parent=location, page_size=1000, read_mask={"paths": ["*"]})
        found: Sequence[Any] = self._calls.call(
            _BETA_SERVICE + "ListQueues", request, m.BetaListQueuesResponse
        ).queues
        return found

    def queue(self, name: str) -> Any:
        """One queue, with its statistics."""
        request = m.BetaGetQueueRequest(name=name, read_mask={"paths": ["*"]})
        return self._calls.call(_BETA_SERVICE + "GetQueue", request, m.BetaQueue)

    def pause(self, name: str) -> None:
        self._call("PauseQueue", m.PauseQueueRequest(name=name), m.Queue)

    def resume(self, name: str) -> None:
        self._call("ResumeQueue", m.ResumeQueueRequest(name=name), m.Queue)

    def purge(self, name: str) -> None:
        self._call("PurgeQueue", m.PurgeQueueRequest(name=name), m.Queue)

    def page(self, queue: str, token: str) -> TaskPage:
        """Tasks that wait or run, in the order of their creation."""
        request = m.ListTasksRequest(parent=queue, page_size=_PAGE_SIZE, page_token=token)
        answer = self._call("ListTasks", request, m.ListTasksResponse)
        return TaskPage(answer.tasks, answer.next_page_token)

    def task(self, name: str) -> Any:
        """The task with its body."""
        return self._call("GetTask", m.GetTaskRequest(name=name, response_view=m.FULL_VIEW), m.Task)

    def create(self, queue: str, task: Any) -> Any:
        return self._call("CreateTask", m.CreateTaskRequest(parent=queue, task=task), m.Task)

    def delete(self, name: str) -> None:
        self._call("DeleteTask", m.DeleteTaskRequest(name=name), m.Empty)

    def run(self, name: str) -> None:
        """Attempt it now."""
        self._call("RunTask", m.RunTaskRequest(name=name), m.Task)

    def attempts(self, queue: str = "", task: str = "", *, only_failed: bool = False) -> list[dict[str, Any]]:
        """The last attempts, newest first, by short names; none from a server that doesn't tell."""
        if self._side_address is None:
            return []
        wanted = {"queue": queue, "task": task, "failed": "1" if only_failed else ""}
        query = urlencode({name: value for name, value in wanted.items() if value})
        found: list[dict[str, Any]] = side_port(self._side_address, "GET", f"/attempts?{query}")
        return found

    def _call(self, method: str, request: Any, response: Any) -> Any:
        return self._calls.call(_SERVICE + method, request, response)
