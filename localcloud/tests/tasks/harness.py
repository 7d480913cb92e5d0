"""A task handler that remembers what it was sent, and the real client library with our server."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, TypeAlias

import grpc
from google.cloud import tasks_v2, tasks_v2beta3
from google.cloud.tasks_v2.services.cloud_tasks.transports import CloudTasksGrpcTransport
from google.cloud.tasks_v2beta3.services.cloud_tasks.transports import (
    CloudTasksGrpcTransport as BetaTransport,
)

# The client takes dictionaries for its messages, which its annotations do not say.
Client: TypeAlias = Any


@dataclass(frozen=True)
class Request:
    """A request as the handler got it; header names in lower case."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def task(self) -> str:
        return self.headers.get("x-appengine-taskname") or self.headers["x-cloudtasks-taskname"]


@dataclass
class Handler:
    """Answers with `statuses`, one after the other, then with 200; `before_answer` is called first."""

    statuses: list[int] = field(default_factory=list)
    before_answer: Callable[[], object] = lambda: None
    requests: list[Request] = field(default_factory=list)
    _changed: threading.Condition = field(default_factory=threading.Condition)

    def start(self, port: int = 0) -> None:
        handler = self

        class Answering(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                length = int(self.headers.get("Content-Length", 0))
                headers = {name.lower(): value for name, value in self.headers.items()}
                request = Request(self.command, self.path, headers, self.rfile.read(length))
                status = handler.take(request)
                handler.before_answer()
                self.send_response(status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            do_GET = do_PUT = do_DELETE = do_PATCH = do_HEAD = do_OPTIONS = do_POST  # noqa: N815

            def log_message(self, format: str, *args: object) -> None:
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 500  # as gunicorn: many connections come at once

        self._server = Server(("127.0.0.1", port), Answering)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)
        self._thread.start()

    def take(self, request: Request) -> int:
        with self._changed:
            self.requests.append(request)
            self._changed.notify_all()
            return self.statuses.pop(0) if self.statuses else 200

    def wait_for(self, count: int, timeout_seconds: float = 10.0) -> None:
        """Return once `count` requests have come."""
        with self._changed:
            came = self._changed.wait_for(lambda: len(self.requests) >= count, timeout_seconds)
        assert came, f"{len(self.requests)} requests came, not {count}"

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def client_of(address: str) -> Client:
    """Google's client, unmodified, on an insecure channel."""
    return tasks_v2.CloudTasksClient(
        transport=CloudTasksGrpcTransport(channel=grpc.insecure_channel(address))
    )


def beta_client_of(address: str) -> Client:
    """The client of v2beta3, which can ask for statistics."""
    return tasks_v2beta3.CloudTasksClient(transport=BetaTransport(channel=grpc.insecure_channel(address)))


def wait_until(is_so: Callable[[], bool], timeout_seconds: float = 10.0) -> None:
    """Return once `is_so()`; fail if that takes too long."""
    end = time.monotonic() + timeout_seconds
    while not is_so():
        assert time.monotonic() < end, "it did not come about in time"
        time.sleep(0.005)
