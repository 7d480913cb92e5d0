"""A gRPC server that passes every call on, byte for byte, but for what its script spoils."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, cast

import grpc
from grpc import aio

from localcloud.faults.script import Kind, Rule, Script

# Neither side may be stricter than the servers behind: a Datastore commit may hold 10 MiB, an answer more.
_OPTIONS = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
if TYPE_CHECKING:
    _Handler = grpc.GenericRpcHandler[bytes, bytes]
else:
    _Handler = grpc.GenericRpcHandler  # takes no type arguments at run time
_UNREPEATABLE_METADATA = ("user-agent", "grpc-", "te", "content-type")


class Proxy(_Handler):
    """One listening address before one server."""

    def __init__(self, upstream: str, script: Script) -> None:
        self._upstream = upstream
        self.script = script
        self._channel: aio.Channel | None = None
        self._server: aio.Server | None = None

    async def start(self, host: str, port: int) -> int:
        """Listen; the port, for `port` 0 the one that was free. Raises OSError where that can't be."""
        # so_reuseport would let two proxies silently share a port.
        self._server = aio.server(options=[*_OPTIONS, ("grpc.so_reuseport", 0)])
        self._server.add_generic_rpc_handlers((self,))
        try:
            bound = self._server.add_insecure_port(f"{host}:{port}")
        except RuntimeError as error:
            raise OSError(str(error)) from error
        if not bound:
            raise OSError("the port is taken")
        # A server that is away is tried again quickly: the proxy must not add a long silence of its own.
        # (Not min_reconnect_backoff_ms: that limits an attempt to connect, and a busy server may be slow.)
        self._channel = aio.insecure_channel(
            self._upstream,
            options=[
                *_OPTIONS,
                ("grpc.initial_reconnect_backoff_ms", 100),
                ("grpc.max_reconnect_backoff_ms", 500),
            ],
        )
        await self._server.start()
        return int(bound)

    async def stop(self) -> None:
        if self._server is not None:
            await self._server.stop(grace=0.5)
        if self._channel is not None:
            await self._channel.close(None)

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler[bytes, bytes]:
        """Every method exists here; the server behind knows better."""
        path = handler_call_details.method

        async def behave(request: bytes, context: aio.ServicerContext[bytes, bytes]) -> bytes:
            return await self._pass_on(path, request, context)

        return grpc.unary_unary_rpc_method_handler(behave)

    async def _pass_on(self, path: str, request: bytes, context: aio.ServicerContext[bytes, bytes]) -> bytes:
        rule = self.script.decide(path.rpartition("/")[2])
        if rule is not None and rule.fault is Kind.DELAY:
            await asyncio.sleep(rule.delay_seconds)
        if rule is not None and rule.fault is Kind.REQUEST_LOST:
            await _abort(context, rule, "before it reached the server")
        answer = await self._call(path, request, context)
        if rule is not None and rule.fault is Kind.RESPONSE_LOST:
            await _abort(context, rule, "after the server had answered")
        if rule is not None and rule.fault is Kind.DELAY_RESPONSE:
            await asyncio.sleep(rule.delay_seconds)
        return answer

    async def _call(self, path: str, request: bytes, context: aio.ServicerContext[bytes, bytes]) -> bytes:
        assert self._channel is not None
        metadata = [
            (key, value)
            for key, value in context.invocation_metadata() or ()
            if not key.startswith(_UNREPEATABLE_METADATA)
        ]
        remaining = context.time_remaining()
        method: aio.UnaryUnaryMultiCallable[bytes, bytes] = self._channel.unary_unary(path, _as_is, _as_is)
        call = method(request, metadata=metadata, timeout=remaining)
        try:
            answer: bytes = await call
        except aio.AioRpcError as error:
            trailing = tuple(cast("Any", error.trailing_metadata()) or ())
            await context.abort(error.code(), error.details() or "", trailing)
            raise
        return answer


def _as_is(message: bytes) -> bytes:
    return message


async def _abort(context: aio.ServicerContext[bytes, bytes], rule: Rule, when: str) -> None:
    if rule.delay_seconds:
        await asyncio.sleep(rule.delay_seconds)
    await context.abort(grpc.StatusCode[rule.code], f"Spoiled on purpose, {when}.")
