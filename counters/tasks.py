"""A task as it arrives: what the queue says of it, and what its creator put in."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from enum import StrEnum
from typing import TYPE_CHECKING
from urllib.parse import unquote

if TYPE_CHECKING:
    import grpc

ENQUEUED_AT_HEADER = "X-Task-Enqueued-At"
"""Set by whoever enqueues: seconds since 1970. (The queue's own ETA header moves with each retry.)"""

TRACE_HEADER = "X-Task-Trace"
"""Set by whoever enqueues: the trace of the request that did, so that one search follows a task through both
services. (Each delivery is a request, and so has a trace, of its own.)"""

BY_HAND_PREFIX = "by-hand-"
"""Begins the names of tasks that an administrator runs by hand; no name that we choose begins so."""

Clock = Callable[[], datetime]


def utc_now() -> datetime:
    return datetime.now(UTC)


class Outcome(StrEnum):
    """What a delivery came to. Each is answered 2xx: the queue is done with the task."""

    APPLIED = "applied"
    DUPLICATE = "duplicate"
    REJECTED = "rejected"


class TaskFailure(Exception):
    """Not applied this time; the queue shall deliver again. Answered 500: this task alone backs off."""


class Contention(TaskFailure):
    """Others were writing the same entities, longer than we were willing to try again."""


class DatastoreUnavailable(TaskFailure):
    """Datastore is away, exhausted or too slow. Answered 503: the whole queue slows down."""


class DatastoreFailed(TaskFailure):
    """Datastore answered with an error of its own, perhaps because of one task in a group."""


class DatastoreRefused(DatastoreFailed):
    """Datastore will not do what it was asked, however often. `code` is the gRPC status."""

    def __init__(self, message: str, code: grpc.StatusCode) -> None:
        super().__init__(message)
        self.code = code


class ShuttingDown(TaskFailure):
    """The process is about to end and takes in nothing more."""


def in_full(failure: BaseException) -> str:
    """A failure with what caused it, for the log. What a client library says is not for visitors."""
    return f"{failure} ({failure.__cause__})" if failure.__cause__ else str(failure)


@dataclass(frozen=True, slots=True)
class TaskInfo:
    """One delivery of a task. Header meanings: "Create App Engine task handlers", Cloud Tasks docs."""

    name: str
    queue: str
    retry_count: int = 0
    execution_count: int = 0
    previous_response: int | None = None
    retry_reason: str | None = None
    enqueued_at: datetime | None = None
    path: str = "/"
    query: str = ""
    content_type: str = ""
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    delivery_id: str = field(default_factory=lambda: secrets.token_hex(8))

    @property
    def attempt(self) -> int:
        """This delivery's number, from 1. (TaskExecutionCount leaves out attempts that reached nobody.)"""
        return self.retry_count + 1


def task_from_request(
    headers: Mapping[str, str], path: str, query: str, content_type: str, body: bytes
) -> TaskInfo:
    """The delivery that a request's headers (names in lower case) and body describe."""
    return TaskInfo(
        name=headers["x-appengine-taskname"],
        queue=headers.get("x-appengine-queuename", ""),
        retry_count=_count(headers.get("x-appengine-taskretrycount")) or 0,
        execution_count=_count(headers.get("x-appengine-taskexecutioncount")) or 0,
        previous_response=_count(headers.get("x-appengine-taskpreviousresponse")),
        retry_reason=headers.get("x-appengine-taskretryreason"),
        enqueued_at=instant_of(headers.get(ENQUEUED_AT_HEADER.lower())),
        path=path,
        query=query,
        content_type=content_type,
        body=body,
        headers=headers,
    )


def handler_of(path: str) -> str:
    """The handler that a task of this path goes to: handlers are named after their path."""
    return unquote(path.partition("?")[0]).strip("/")


def _count(text: str | None) -> int | None:
    return int(text) if text and text.isascii() and text.isdigit() and len(text) <= 9 else None


def instant_of(text: str | None) -> datetime | None:
    """Seconds since 1970 as an instant; None for what is no such number."""
    try:
        seconds = Decimal(text or "")
        return datetime.fromtimestamp(float(seconds), UTC)
    except (InvalidOperation, ValueError, OverflowError, OSError):
        return None
