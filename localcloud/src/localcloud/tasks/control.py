"""`python -m localcloud.tasks list|pause|resume|purge|run`: looks after queues, through the API."""

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

import grpc

from localcloud.tasks.messages import (
    ListQueuesRequest,
    ListQueuesResponse,
    ListTasksRequest,
    ListTasksResponse,
    Message,
    PauseQueueRequest,
    PurgeQueueRequest,
    Queue,
    ResumeQueueRequest,
    RunTaskRequest,
    Task,
    to_us,
)
from localcloud.tasks.options import OneLineParser

SERVICE = "/google.cloud.tasks.v2.CloudTasks/"
DEFAULT_ADDRESS = "127.0.0.1:8123"
CALL_SECONDS = 10.0


class Control:
    """The commands, on the queues of one location of one server."""

    def __init__(self, channel: grpc.Channel, location: str, write: Callable[[str], None]) -> None:
        self._channel = channel
        self._location = location
        self._write = write

    def list_queue(self, queue: str | None, _: str | None) -> None:
        """All queues; or the tasks of one."""
        if queue is not None:
            for task in self._tasks(queue):
                self._write(_task_line(task))
            return
        request = ListQueuesRequest(parent=self._location)
        for found in self._call("ListQueues", request, ListQueuesResponse).queues:
            self._write(_queue_line(found))

    def pause_queue(self, queue: str, _: str | None) -> None:
        self._write(_queue_line(self._call("PauseQueue", PauseQueueRequest(name=self._name(queue)), Queue)))

    def resume_queue(self, queue: str, _: str | None) -> None:
        self._write(_queue_line(self._call("ResumeQueue", ResumeQueueRequest(name=self._name(queue)), Queue)))

    def purge_queue(self, queue: str, _: str | None) -> None:
        self._write(_queue_line(self._call("PurgeQueue", PurgeQueueRequest(name=self._name(queue)), Queue)))

    def run_queue(self, queue: str, task: str | None) -> None:
        """Attempt one task now, or all that are in the queue."""
        if task is not None:
            names = [f"{self._name(queue)}/tasks/{task}"]
        else:
            names = [found.name for found in self._tasks(queue)]
        for name in names:
            self._write(_task_line(self._call("RunTask", RunTaskRequest(name=name), Task)))

    def _tasks(self, queue: str) -> list[Message]:
        request = ListTasksRequest(parent=self._name(queue))
        tasks: list[Message] = []
        while True:
            page = self._call("ListTasks", request, ListTasksResponse)
            tasks += page.tasks
            if not page.next_page_token:
                return tasks
            request.page_token = page.next_page_token

    def _name(self, queue: str) -> str:
        return queue if "/" in queue else f"{self._location}/queues/{queue}"

    def _call(self, method: str, request: Message, response: Message) -> Message:
        call = self._channel.unary_unary(
            SERVICE + method,
            request_serializer=type(request).SerializeToString,
            response_deserializer=response.FromString,
        )
        return call(request, timeout=CALL_SECONDS)


def main(arguments: Sequence[str]) -> int:
    """Run one command; returns the exit status."""
    options = _parse(arguments)
    location = f"projects/{options.project}/locations/{options.location}"
    with grpc.insecure_channel(options.address) as channel:
        control = Control(channel, location, print)
        try:
            getattr(control, f"{options.command}_queue")(options.queue, options.task)
        except grpc.RpcError as error:
            print(f"localcloud.tasks: {_reason(error, options.address)}", file=sys.stderr)
            return 1
    return 0


def _parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = OneLineParser(prog="localcloud.tasks", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    shared = OneLineParser(add_help=False)
    shared.add_argument(
        "--address",
        default=os.environ.get("CLOUD_TASKS_EMULATOR_HOST", DEFAULT_ADDRESS),
        help="HOST:PORT of the server ($CLOUD_TASKS_EMULATOR_HOST, else 127.0.0.1:8123)",
    )
    shared.add_argument("--project", default="local-project", help="the queues' project (local-project)")
    shared.add_argument("--location", default="us-central1", help="the queues' location (us-central1)")
    for name, explanation, queue_count in (
        ("list", "list the queues, or the tasks of one", "?"),
        ("pause", "dispatch nothing from a queue until it is resumed", None),
        ("resume", "dispatch from a queue again", None),
        ("purge", "delete all tasks of a queue", None),
        ("run", "attempt all tasks of a queue, or one, now", None),
    ):
        command = commands.add_parser(name, help=explanation, description=explanation, parents=[shared])
        command.add_argument("queue", nargs=queue_count, help="its short or its full name")
        if name == "run":
            command.add_argument("task", nargs="?", help="the short name of one task")
        else:
            command.set_defaults(task=None)
    return parser.parse_args(arguments)


def _reason(error: grpc.RpcError, address: str) -> str:
    if error.code() in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED):
        return f"no answer from {address}. Is the server running there? Name its address with --address."
    return str(error.details())


def _queue_line(queue: Message) -> str:
    limits = queue.rate_limits
    return (
        f"{queue.name.rpartition('/')[2]:30} {Queue.State.Name(queue.state):8} "
        f"{limits.max_dispatches_per_second:g}/s, {limits.max_concurrent_dispatches} at once"
    )


def _task_line(task: Message) -> str:
    eta = datetime.fromtimestamp(to_us(task.schedule_time) / 1_000_000, UTC).isoformat(
        timespec="milliseconds"
    )
    last = task.last_attempt.response_status.message
    return f"{task.name.rpartition('/')[2]:40} due {eta}, attempts {task.dispatch_count}" + (
        f", last: {last}" if last else ""
    )
