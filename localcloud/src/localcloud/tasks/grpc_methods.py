"""Methods as the wires call them, every call counted; and as gRPC handlers: ApiErrors become status codes."""

from __future__ import annotations

import sqlite3
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import grpc

from localcloud.tasks.counts import Counts
from localcloud.tasks.errors import ApiError
from localcloud.tasks.messages import Message

# Clients round deadlines up to whole milliseconds: of a shorter one, already past, a bit of one arrives.
_SHORTEST_SECONDS = 0.001
# How many tasks a call is billed for, by its request and its response.
Bill = Callable[[Message, Message], int]


class Method:
    """One method of the API: its request's class, what it does, and what it is billed as."""

    def __init__(
        self, request: Message, run: Callable[[Message], Awaitable[Message]], bill: Bill | None = None
    ) -> None:
        self.request = request
        self.run = run
        self.bill = bill


def generic_handler(
    service: str, methods: Mapping[str, Method], counts: Counts
) -> grpc.GenericRpcHandler[Any, Any]:
    """The handler for all `methods` of `service`, by its full name."""
    handlers = {name: _handler(name, method, counts) for name, method in methods.items()}
    return grpc.method_handlers_generic_handler(service, handlers)


async def call(name: str, method: Method, request: Message, size: int, counts: Counts) -> Message:
    """The response to a request of `size` bytes, whatever wire it came by; counted. Raises ApiError."""
    billed = 1
    try:
        response = await method.run(request)
        if method.bill is not None:
            billed = method.bill(request, response)
        return response
    except sqlite3.Error as error:
        raise ApiError(
            grpc.StatusCode.UNAVAILABLE, f"The task store could not be written: {str(error).rstrip('.')}."
        ) from error
    finally:
        counts.note_call(name, size, billed)


def _handler(name: str, method: Method, counts: Counts) -> Any:
    from_string = method.request.FromString

    async def handle(raw: bytes, context: grpc.aio.ServicerContext[Any, Any]) -> bytes:
        remaining_seconds = context.time_remaining()
        if remaining_seconds is not None and remaining_seconds < _SHORTEST_SECONDS:
            await context.abort(
                grpc.StatusCode.DEADLINE_EXCEEDED, "The deadline passed before the call began."
            )
        try:
            response = await call(name, method, from_string(raw), len(raw), counts)
        except ApiError as error:
            await context.abort(error.code, error.message)
        answer: bytes = response.SerializeToString()
        return answer

    return grpc.unary_unary_rpc_method_handler(handle)
