"""Turns plain methods into gRPC handlers: ApiErrors become status codes, every call is counted."""

from __future__ import annotations

import sqlite3
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import grpc

from localcloud.tasks.counts import Counts
from localcloud.tasks.errors import ApiError
from localcloud.tasks.messages import Message

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


def _handler(name: str, method: Method, counts: Counts) -> Any:
    from_string = method.request.FromString

    async def handle(raw: bytes, context: grpc.aio.ServicerContext[Any, Any]) -> bytes:
        try:
            request = from_string(raw)
            response = await method.run(request)
        except ApiError as error:
            counts.note_call(name, len(raw), 1)
            await context.abort(error.code, error.message)
        except sqlite3.Error as error:
            counts.note_call(name, len(raw), 1)
            await context.abort(
                grpc.StatusCode.UNAVAILABLE, f"The task store could not be written: {str(error).rstrip('.')}."
            )
        counts.note_call(name, len(raw), 1 if method.bill is None else method.bill(request, response))
        answer: bytes = response.SerializeToString()
        return answer

    return grpc.unary_unary_rpc_method_handler(handle)
