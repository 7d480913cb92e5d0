"""The methods of google.cloud.tasks.v2.CloudTasks that are about single tasks."""

import grpc

from localcloud.tasks.broker import Broker
from localcloud.tasks.errors import ApiError, invalid
from localcloud.tasks.grpc_methods import Method
from localcloud.tasks.messages import (
    BASIC_VIEW,
    FULL_VIEW,
    CreateTaskRequest,
    DeleteTaskRequest,
    Empty,
    GetTaskRequest,
    ListTasksRequest,
    ListTasksResponse,
    Message,
    RunTaskRequest,
)
from localcloud.tasks.pages import Pages, page_size
from localcloud.tasks.task import LiveTask
from localcloud.tasks.task_view import describe, shown

# Real service: the largest page, and the default (ListTasksRequest.page_size).
MAX_PAGE_SIZE = 1000


class TaskMethods:
    """CreateTask, GetTask, ListTasks, DeleteTask, RunTask."""

    def __init__(self, broker: Broker, pages: Pages) -> None:
        self._broker = broker
        self._pages = pages

    def methods(self) -> dict[str, Method]:
        return {
            "CreateTask": Method(CreateTaskRequest, self.create_task),
            "GetTask": Method(GetTaskRequest, self.get_task),
            "ListTasks": Method(ListTasksRequest, self.list_tasks, lambda _, response: len(response.tasks)),
            "DeleteTask": Method(DeleteTaskRequest, self.delete_task),
            "RunTask": Method(RunTaskRequest, self.run_task),
        }

    async def create_task(self, request: Message) -> Message:
        view = checked_view(request.response_view)
        queue = self._broker.queue(request.parent)
        try:
            task = self._broker.create(queue, request.task)
        except ApiError as error:
            if error.code is grpc.StatusCode.ALREADY_EXISTS:
                # By a task, perhaps, that is only about to be written.
                await self._broker.store.settled()
            raise
        committed = self._broker.store.committed()
        describe(task, request.task, view)
        await committed
        return request.task

    async def get_task(self, request: Message) -> Message:
        view = checked_view(request.response_view)
        return shown(await self._broker.settled_task(request.name), view)

    async def list_tasks(self, request: Message) -> Message:
        view = checked_view(request.response_view)
        size = page_size(request.page_size, MAX_PAGE_SIZE)
        await self._broker.store.settled()
        queue = self._broker.queue(request.parent)
        # Real service: in no particular order. Here in that of creation, so that a page's end has a place:
        # tasks that come or go between two pages shift nothing.
        after = self._pages.position(request.page_token, queue.name)
        found: list[LiveTask] = []
        response = ListTasksResponse()
        for task in queue.in_order_of_creation():
            if task.seq > after:
                if len(found) == size:
                    response.next_page_token = self._pages.token(queue.name, found[-1].seq)
                    break
                found.append(task)
        response.tasks.extend(shown(task, view) for task in found)
        return response

    async def delete_task(self, request: Message) -> Message:
        self._broker.delete(await self._broker.settled_task(request.name))
        await self._broker.store.committed()
        return Empty()

    async def run_task(self, request: Message) -> Message:
        view = checked_view(request.response_view)
        task = await self._broker.settled_task(request.name)
        self._broker.dispatcher(task.queue).run(task)
        # Real service: the answer shows the task dispatched, before its target has answered (RunTask).
        # We differ: it may be called as often as one likes; the quota is 60 a minute. No quota is kept here.
        return shown(task, view)


def checked_view(view: int) -> int:
    """The view to answer in; unspecified means BASIC. Raises ApiError."""
    if view not in (0, BASIC_VIEW, FULL_VIEW):
        raise invalid(f"response_view is {view}. Expected BASIC or FULL.")
    return view or BASIC_VIEW
