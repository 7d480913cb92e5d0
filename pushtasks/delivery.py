"""A delivery: one arrival of a task, with what the queue says about it and what its creator put in."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from enum import StrEnum
from hashlib import sha256
from urllib.parse import unquote

ENQUEUED_AT_HEADER = "X-Task-Enqueued-At"
"""Set by whoever enqueues: seconds since 1970. (The queue's own ETA header moves with each retry.)"""

DUE_AT_HEADER = "X-Task-Due-At"
"""Set by whoever enqueues a task for later: the seconds since 1970 at which it is first due."""

PARENT_HEADER = "X-Task-Parent"
"""Set on a follow-up: the kind and the name of the task that asked for it, as KIND/NAME."""

TRACE_HEADER = "X-Task-Trace"
"""Set by whoever enqueues: the trace of that request, so that one search follows a task through both
services. (Each delivery is a request of its own, and so has a trace of its own.)"""

BY_HAND_PREFIX = "by-hand-"
"""Begins the names of tasks that an administrator runs by hand. No name that we choose begins like this."""

BY_HAND_QUEUE = "by-hand"
"""Used as the queue of such a task, which never was in one."""

Clock = Callable[[], datetime]


def utc_now() -> datetime:
    return datetime.now(UTC)


class Outcome(StrEnum):
    """The outcome of a delivery. Each is answered 2xx: the queue is done with the task."""

    APPLIED = "applied"
    DUPLICATE = "duplicate"
    REJECTED = "rejected"
    GAVE_UP = "gave-up"


@dataclass(frozen=True, slots=True)
class Delivery:
    """One delivery of a task. For the headers see "Create App Engine task handlers", Cloud Tasks docs."""

    name: str
    queue: str
    retry_count: int = 0
    execution_count: int = 0
    previous_response: int | None = None
    retry_reason: str | None = None
    enqueued_at: datetime | None = None
    due_at: datetime | None = None
    """When it was first to be tried, if later than at once."""
    path: str = "/"
    query: str = ""
    content_type: str = ""
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    """Names in lower case."""
    id: str = field(default_factory=lambda: secrets.token_hex(8))
    """Random: distinguishes this delivery from all others of the same task."""

    @property
    def attempt(self) -> int:
        """This delivery's number, from 1. (TaskExecutionCount leaves out attempts that reached nobody.)"""
        return self.retry_count + 1

    @property
    def waiting_since(self) -> datetime | None:
        """The time that its age counts from: when it was enqueued, or first due if that was later."""
        if self.enqueued_at and self.due_at:
            return max(self.enqueued_at, self.due_at)
        return self.enqueued_at


def payload_digest(payload: bytes) -> str:
    """Distinguishes payloads: 128 bits of SHA-256, as 32 hexadecimal digits."""
    return sha256(payload).hexdigest()[:32]


def delivery_of_request(
    headers: Mapping[str, str], path: str, query: str, content_type: str, body: bytes
) -> Delivery:
    """The delivery that a request's headers (names in lower case) and body describe."""
    return Delivery(
        name=headers["x-appengine-taskname"],
        queue=headers.get("x-appengine-queuename", ""),
        retry_count=_count(headers.get("x-appengine-taskretrycount")) or 0,
        execution_count=_count(headers.get("x-appengine-taskexecutioncount")) or 0,
        previous_response=_count(headers.get("x-appengine-taskpreviousresponse")),
        retry_reason=headers.get("x-appengine-taskretryreason"),
        enqueued_at=time_of(headers.get(ENQUEUED_AT_HEADER.lower())),
        due_at=time_of(headers.get(DUE_AT_HEADER.lower())),
        path=path,
        query=query,
        content_type=content_type,
        body=body,
        headers=headers,
    )


def handler_of(path: str) -> str:
    """The kind of task that goes to this path: each is delivered to /NAME."""
    return unquote(path.partition("?")[0]).strip("/")


def time_of(text: str | None) -> datetime | None:
    """The time that a header gives as seconds since 1970; None if it gives none."""
    try:
        return datetime.fromtimestamp(float(Decimal(text or "")), UTC)
    except (InvalidOperation, ValueError, OverflowError, OSError):
        return None


def _count(text: str | None) -> int | None:
    return int(text) if text and text.isascii() and text.isdigit() and len(text) <= 9 else None
