"""The HTTP port: the API over HTTP/1.1, a health check, the counts, what is stored, a reset for tests."""

from __future__ import annotations

import json
import select
import socket
import sqlite3
import threading
from http.server import BaseHTTPRequestHandler

from localcloud.datastore.errors import BadStart, invalid
from localcloud.datastore.http_api import PREFIX, Answer, HttpApi, refusal
from localcloud.datastore.http_body import read_body
from localcloud.datastore.http_server import ConnectionServer
from localcloud.datastore.relay import is_http2, relay
from localcloud.datastore.service import Service
from localcloud.http_guard import FORBIDDEN, Body, HttpGuard
from localcloud.transcoding import Form, Malformed

# A little more than the API's 10 MiB, so that the service names the limit; JSON is longer than protobuf.
_MAX_BODY_BYTES = 32 * 1024 * 1024
_IDLE_SECONDS = 120.0
_NOTHING_HERE = "There is GET /, /counts, /statistics, POST /reset and /v1/projects/PROJECT:METHOD."


class SidePort:
    """GET / (alive), GET /counts, GET /statistics, POST /reset, POST /v1/...

    A gRPC connection goes on to the gRPC port.
    """

    def __init__(self, service: Service, host: str, port: int, grpc_port: int) -> None:
        """Listen, without serving yet. Raises BadStart if that is impossible."""

        class Handler(_Handler):
            datastore = service
            api = HttpApi(service)
            guard = HttpGuard(host, port)
            grpc_address = (host, grpc_port)

        try:
            self._server = ConnectionServer((host, port), Handler)
        except OSError as error:
            raise BadStart(
                f"cannot listen on {host}:{port} ({error.strerror}). Choose another --http-port, or 0."
            ) from None
        self.port: int = self._server.server_address[1]
        Handler.guard.port = self.port
        self._thread = threading.Thread(
            target=self._server.serve_forever,
            kwargs={"poll_interval": 0.1},
            name="localcloud.datastore.http",
            daemon=True,
        )

    def start(self) -> None:
        """Begin to serve."""
        self._thread.start()

    def stop(self) -> None:
        """Returns when it has stopped, and no request is under way."""
        if self._thread.is_alive():
            self._server.shutdown()
            self._thread.join()
        self._server.server_close()
        self._server.close_connections()


class _Handler(BaseHTTPRequestHandler):
    datastore: Service
    api: HttpApi
    guard: HttpGuard
    grpc_address: tuple[str, int]

    protocol_version = "HTTP/1.1"
    timeout = _IDLE_SECONDS
    # A response goes out in one piece, and at once.
    wbufsize = -1
    disable_nagle_algorithm = True

    def handle(self) -> None:
        if is_http2(self.connection):
            self.connection.settimeout(None)
            relay(self.connection, self.grpc_address)
        else:
            super().handle()

    def do_GET(self) -> None:
        if self._is_refused(Body.ANY):
            return
        if self.path == "/":
            self._answer(_text(200, "Ok"))
        elif self.path == "/counts":
            counts = json.dumps(self.datastore.counts.as_json())
            self._answer(Answer(200, "application/json", counts.encode()))
        elif self.path == "/statistics":
            statistics = json.dumps(self.datastore.statistics.as_json())
            self._answer(Answer(200, "application/json", statistics.encode()))
        else:
            self._answer(_text(404, _NOTHING_HERE))

    def do_POST(self) -> None:
        is_call = self.path.startswith(PREFIX)
        if self._is_refused(Body.API if is_call else Body.ANY):
            return
        try:
            content = read_body(self.headers, self.rfile, _MAX_BODY_BYTES)
        except Malformed as malformed:
            self.close_connection = True
            self._answer(refusal(invalid(malformed.message), Form.JSON))
            return
        if is_call:
            content_type = self.headers.get("Content-Type", "")
            self._answer(self.api.answer(self.path, content_type, content, self._is_connected))
        elif self.path == "/reset":
            self._answer(self._reset())
        else:
            self._answer(_text(404, _NOTHING_HERE))

    def _reset(self) -> Answer:
        """The official emulators reset themselves at POST /reset, too."""
        try:
            self.datastore.reset()
        except sqlite3.Error as error:
            return _text(503, self.datastore.file_trouble(error) or f"The reset failed: {error}.")
        return _text(200, "Ok")

    def log_message(self, format: str, *args: object) -> None:
        """Nothing: these requests are not worth a line."""

    def _is_refused(self, body: Body) -> bool:
        """Answers a request that another site's page may have sent."""
        refused = self.guard.refusal(self.command, self.headers.get, body)
        if refused is not None:
            # Its body stays unread.
            self.close_connection = True
            self._answer(_text(FORBIDDEN, refused))
        return refused is not None

    def _is_connected(self) -> bool:
        """Is the client still there?"""
        try:
            is_readable = bool(select.select([self.connection], [], [], 0)[0])
            return not is_readable or self.connection.recv(1, socket.MSG_PEEK) != b""
        except (OSError, ValueError):
            return False

    def _answer(self, answer: Answer) -> None:
        self.send_response(answer.status)
        self.send_header("Content-Type", answer.content_type)
        self.send_header("Content-Length", str(len(answer.content)))
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(answer.content)


def _text(status: int, line: str) -> Answer:
    return Answer(status, "text/plain; charset=utf-8", f"{line}\n".encode())
