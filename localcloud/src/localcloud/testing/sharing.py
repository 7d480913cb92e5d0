"""Servers that several tests share: each test finds the queues as they were at the start."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Self

import grpc

from localcloud.tasks.messages import (
    ListQueuesRequest,
    ListQueuesResponse,
    Message,
    PurgeQueueRequest,
    Queue,
    ResumeQueueRequest,
)

_SERVICE = "/google.cloud.tasks.v2.CloudTasks/"
# A busy machine may take long to answer; a stopped process never does.
_CALL_SECONDS = 20.0
# What is under way when a queue is purged must end by itself.
IDLE_SECONDS = 20.0


class Shared(ABC):
    """A server, or several, that one test after the other uses."""

    @abstractmethod
    def reset(self) -> None:
        """Leave no task, no paused queue and no fault behind; the queues are configured as at the start.

        Whoever can't be brought there in bounded time is replaced.
        """

    @contextmanager
    def for_one_test(self) -> Iterator[Self]:
        """It, as at the start; and so it is left, even if the test fails."""
        self.reset()
        try:
            yield self
        finally:
            self.reset()


class Queues:
    """The queues of one location, and how they were configured when they were seen first."""

    def __init__(self) -> None:
        self._configured: list[bytes] | None = None

    def forget(self) -> None:
        """A new server is there: what it has is right."""
        self._configured = None

    def empty(self, address: str, location: str) -> None:
        """Purge and resume them all. Raises grpc.RpcError."""
        with grpc.insecure_channel(address) as channel:
            for queue in _list(channel, location):
                _call(channel, "PurgeQueue", PurgeQueueRequest(name=queue.name), Queue)
                _call(channel, "ResumeQueue", ResumeQueueRequest(name=queue.name), Queue)

    def are_as_at_the_start(self, address: str, location: str) -> bool:
        """Are they all running, configured as they were? Raises grpc.RpcError."""
        with grpc.insecure_channel(address) as channel:
            queues = _list(channel, location)
        if any(queue.state != Queue.State.RUNNING for queue in queues):
            return False
        for queue in queues:
            queue.ClearField("purge_time")
        configured = sorted(queue.SerializeToString(deterministic=True) for queue in queues)
        self._configured = self._configured or configured
        return self._configured == configured


def _list(channel: grpc.Channel, location: str) -> list[Message]:
    request = ListQueuesRequest(parent=location, page_size=1000)
    return list(_call(channel, "ListQueues", request, ListQueuesResponse).queues)


def _call(channel: grpc.Channel, method: str, request: Message, response: Message) -> Message:
    call = channel.unary_unary(
        _SERVICE + method,
        request_serializer=type(request).SerializeToString,
        response_deserializer=response.FromString,
    )
    return call(request, timeout=_CALL_SECONDS)
