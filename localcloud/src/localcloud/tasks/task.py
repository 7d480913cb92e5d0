"""A task in memory, as small as it can be: a queue may hold a hundred thousand of them."""

import enum
from typing import TYPE_CHECKING

from localcloud.tasks.messages import Message, set_us, to_us
from localcloud.tasks.outcome import Outcome

if TYPE_CHECKING:
    from localcloud.tasks.queue import Queue


class State(enum.IntEnum):
    """Where a task is in its life."""

    WAITING = 0  # for its time, or for the queue's permission
    RUNNING = 1  # at least one attempt is under way
    GONE = 2  # succeeded, given up, or deleted


class Attempts:
    """What is known about a task's attempts; a task without attempts has no such object."""

    __slots__ = (
        "dispatch_count",
        "executed_count",
        "first_dispatch_us",
        "last_dispatch_us",
        "last_outcome",
        "last_response_us",
        "last_schedule_us",
        "response_count",
        "running",
    )

    def __init__(self) -> None:
        self.dispatch_count = 0  # all, the ones under way included
        self.response_count = 0  # those that the handler answered
        self.executed_count = 0  # those of them that it did not answer with 5xx
        self.first_dispatch_us = 0
        self.last_schedule_us = 0
        self.last_dispatch_us = 0
        self.last_response_us = 0  # 0: the last attempt is still under way
        self.last_outcome: Outcome | None = None  # of the last attempt that has ended
        self.running = 0


class LiveTask:
    """A task that is neither finished nor deleted.

    `message` is the serialized google.cloud.tasks.v2.Task without name, times and attempts: what the creator
    gave.
    """

    __slots__ = ("attempts", "create_us", "eta_us", "id", "message", "queue", "seq", "state")

    def __init__(
        self, queue: "Queue", seq: int, task_id: str, create_us: int, eta_us: int, message: bytes
    ) -> None:
        self.queue = queue
        self.seq = seq  # the order of creation, over all queues
        self.id = task_id  # the last part of the name
        self.create_us = create_us
        self.eta_us = eta_us  # when it is to be attempted next
        self.message = message
        self.state = State.WAITING
        self.attempts: Attempts | None = None

    @property
    def name(self) -> str:
        return f"{self.queue.name}/tasks/{self.id}"


def describe_attempts(attempts: Attempts, message: Message) -> None:
    """Write `attempts` into the output-only fields of a Task message."""
    message.dispatch_count = attempts.dispatch_count
    message.response_count = attempts.response_count
    set_us(message.first_attempt.dispatch_time, attempts.first_dispatch_us)
    last = message.last_attempt
    set_us(last.schedule_time, attempts.last_schedule_us)
    set_us(last.dispatch_time, attempts.last_dispatch_us)
    if attempts.last_response_us and attempts.last_outcome is not None:
        set_us(last.response_time, attempts.last_response_us)
        last.response_status.code = attempts.last_outcome.rpc_code
        last.response_status.message = attempts.last_outcome.text


def attempts_in(message: Message, executed_count: int) -> Attempts | None:
    """The inverse of describe_attempts, for a task that comes back from the disk: nothing is under way."""
    if not message.dispatch_count:
        return None
    attempts = Attempts()
    attempts.dispatch_count = message.dispatch_count
    attempts.response_count = message.response_count
    attempts.executed_count = executed_count
    attempts.first_dispatch_us = to_us(message.first_attempt.dispatch_time)
    last = message.last_attempt
    attempts.last_schedule_us = to_us(last.schedule_time)
    attempts.last_dispatch_us = to_us(last.dispatch_time)
    attempts.last_response_us = to_us(last.response_time)
    attempts.last_outcome = Outcome.from_text(last.response_status.message)
    return attempts
