"""The gRPC side: generic handlers over the service's methods, on a pool of threads.

Measured with google-cloud-ndb's transactions against a server that does nothing: 193/s with threads and
169/s with asyncio (one client thread, 1.5 and 2.0 ms of the server's CPU each), the same with eight. And a
thread may wait for a lock.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import grpc

from localcloud.datastore.calls import call
from localcloud.datastore.errors import BadStart, Refused
from localcloud.datastore.service import Method, Service

_SERVICE = "google.datastore.v1.Datastore"
# Waiting for a lock takes a thread each; they are started as they are needed.
_MAX_THREADS = 512
# Clients round deadlines up to whole milliseconds: of a shorter one, already past, a bit of one arrives.
_SHORTEST_SECONDS = 0.001

_OPTIONS = (
    # Requests of up to 10 MiB are legal; a little more reaches us, to be refused with the reason.
    ("grpc.max_receive_message_length", 32 * 1024 * 1024),
    ("grpc.max_send_message_length", -1),
    ("grpc.so_reuseport", 0),
)


class GrpcServer:
    """Serves a service on a port."""

    def __init__(self, service: Service, host: str, port: int) -> None:
        """Listen, without serving yet. Raises BadStart if that is impossible."""
        self._service = service
        self._pool = ThreadPoolExecutor(_MAX_THREADS, thread_name_prefix="localcloud.datastore")
        self._server = grpc.server(self._pool, options=_OPTIONS)
        handlers = {
            name: grpc.unary_unary_rpc_method_handler(_handler(service, name, method))
            for name, method in service.methods.items()
        }
        self._server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(_SERVICE, handlers),))
        try:
            self.port: int = self._server.add_insecure_port(f"{host}:{port}")
        except RuntimeError:
            self.port = 0
        if not self.port:
            raise BadStart(f"cannot listen on {host}:{port}. Choose another --port, or 0 for a free one.")

    def start(self) -> None:
        """Begin to serve."""
        self._server.start()

    def stop(self, grace_seconds: float) -> None:
        """Refuse what is new; returns when what is under way is answered, or cut off after the grace."""
        self._server.stop(grace_seconds).wait()
        self._service.locks.abort_waits()
        self._pool.shutdown(wait=True, cancel_futures=True)


def _handler(service: Service, name: str, method: Method) -> Callable[[bytes, grpc.ServicerContext], bytes]:
    def handle(request: bytes, context: grpc.ServicerContext) -> bytes:
        try:
            if not context.is_active():
                raise Refused(grpc.StatusCode.CANCELLED, "The call was cancelled before it began.")
            remaining_seconds = context.time_remaining()
            if remaining_seconds is not None and remaining_seconds < _SHORTEST_SECONDS:
                raise Refused(grpc.StatusCode.DEADLINE_EXCEEDED, "The deadline passed before the call began.")
            return call(service, name, method, request, context.is_active)
        except Refused as refused:
            context.set_code(refused.code)
            context.set_details(refused.message)
        return b""

    return handle
