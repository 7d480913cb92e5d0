"""Calls to Datastore and Cloud Tasks over gRPC; what they refuse becomes a Problem with their own words."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

import grpc

from localcloud.console.errors import Problem

_SECONDS = 20.0
_STATUS = {
    grpc.StatusCode.NOT_FOUND: HTTPStatus.NOT_FOUND,
    grpc.StatusCode.ABORTED: HTTPStatus.CONFLICT,
    grpc.StatusCode.ALREADY_EXISTS: HTTPStatus.CONFLICT,
    grpc.StatusCode.UNAVAILABLE: HTTPStatus.BAD_GATEWAY,
    grpc.StatusCode.DEADLINE_EXCEEDED: HTTPStatus.GATEWAY_TIMEOUT,
    grpc.StatusCode.INTERNAL: HTTPStatus.BAD_GATEWAY,
    grpc.StatusCode.UNKNOWN: HTTPStatus.BAD_GATEWAY,
}


class Refused(Problem):
    """What the server said; `code` is its name of the error, such as NOT_FOUND."""

    def __init__(self, code: grpc.StatusCode, text: str) -> None:
        super().__init__(f"{text} ({code.name})", _STATUS.get(code, HTTPStatus.BAD_REQUEST))
        self.code = code


class Calls:
    """One gRPC server. Safe to be used by many threads; the connection is made at the first call."""

    def __init__(self, name: str, address: str) -> None:
        self.name = name
        self.address = address
        self._channel = grpc.insecure_channel(
            address,
            options=[("grpc.max_receive_message_length", -1), ("grpc.max_reconnect_backoff_ms", 500)],
        )

    def call(self, method: str, request: Any, response: Any, routing: str = "") -> Any:
        """`method` is the full name, /google.datastore.v1.Datastore/Lookup. Raises Refused."""
        stub = self._channel.unary_unary(
            method,
            request_serializer=type(request).SerializeToString,
            response_deserializer=response.FromString,
        )
        metadata = (("x-goog-request-params", routing),) if routing else None
        try:
            return stub(request, timeout=_SECONDS, metadata=metadata)
        except grpc.RpcError as error:
            code, text = error.code(), error.details() or "no reason given"
            if code in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED):
                text = f"{self.name} at {self.address} does not answer: {text}"
            raise Refused(code, text) from None

    def close(self) -> None:
        self._channel.close()
