"""Serves HTTP/1.1 on one socket, with a bounded number of threads; the pages are the application's."""

from __future__ import annotations

import contextlib
import socket
import socketserver
import sys
import threading
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import unquote, urlsplit

from localcloud.console.errors import Problem
from localcloud.console.web import Request, Response, parse_query, read_form

_MOST_CONNECTIONS = 64
_IDLE_SECONDS = 15.0
MAX_BODY_BYTES = 32 * 1024 * 1024

Answer = Callable[[Request], Response]
Check = Callable[[Request], Response | None]


class Server(socketserver.ThreadingMixIn, socketserver.TCPServer):
    """Accepts connections on a socket that is listening already."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, listening: socket.socket, admit: Check, answer: Answer) -> None:
        """`admit` refuses a request by its head, before its body is read; None: it may pass."""
        super().__init__(listening.getsockname(), _Handler, bind_and_activate=False)
        self.socket.close()
        self.socket = listening
        self.admit = admit
        self.answer = answer
        self._free = threading.BoundedSemaphore(_MOST_CONNECTIONS)

    def process_request(self, request: Any, client_address: Any) -> None:
        self._free.acquire()
        super().process_request(request, client_address)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._free.release()

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ARG002
        """A broken connection is the client's business; anything else is worth a line."""
        error = sys.exception()
        if not isinstance(error, OSError):
            print(f"localcloud.console: a connection failed: {error!r}", file=sys.stderr, flush=True)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = _IDLE_SECONDS
    server: Server

    def do_GET(self) -> None:
        self._serve()

    def do_HEAD(self) -> None:
        self._serve()

    def do_POST(self) -> None:
        self._serve()

    def log_message(self, format: str, *args: object) -> None:
        """Nothing: a look at the logs should not fill them."""

    def version_string(self) -> str:
        return "localcloud"

    def _serve(self) -> None:
        try:
            parts = urlsplit(self.path)
            request = Request(
                self.command,
                unquote(parts.path),
                parse_query(parts.query),
                {name.lower(): value for name, value in self.headers.items()},
            )
            hosts = len(self.headers.get_all("Host") or ())
            if hosts != 1 or not self.path.startswith("/"):
                raise Problem("A request names its host once, and its path begins with /.")
            refusal = self.server.admit(request)
            if refusal is not None:
                self.close_connection = True
                self._send(refusal)
                return
            if self.command == "POST":
                read_form(request, self._body())
        except (Problem, ValueError) as problem:
            status = problem.status if isinstance(problem, Problem) else HTTPStatus.BAD_REQUEST
            self.close_connection = True
            self._send(Response(status, f"{problem}\n".encode(), "text/plain; charset=utf-8"))
            return
        self._send(self.server.answer(request))

    def _body(self) -> bytes:
        if "Transfer-Encoding" in self.headers:
            raise Problem("Expected a Content-Length.", HTTPStatus.LENGTH_REQUIRED)
        text = self.headers.get("Content-Length", "0")
        if not text.isascii() or not text.isdecimal():
            raise Problem("Content-Length is not a number.")
        if int(text) > MAX_BODY_BYTES:
            raise Problem(
                f"A form may have {MAX_BODY_BYTES // (1024 * 1024)} MB. "
                "For larger imports use the command: localcloud import FILE.",
                HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
            )
        body = self.rfile.read(int(text))
        if len(body) < int(text):
            raise Problem("The body broke off.")
        return body

    def _send(self, response: Response) -> None:
        is_whole = isinstance(response.body, bytes)
        self.send_response(response.status)
        self.send_header("Content-Type", response.content_type)
        for name, value in response.headers.items():
            self.send_header(name, value)
        if isinstance(response.body, bytes):
            self.send_header("Content-Length", str(len(response.body)))
        else:
            self.send_header("Transfer-Encoding", "chunked")
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        if self.command == "HEAD":
            return
        if isinstance(response.body, bytes):
            self.wfile.write(response.body)
            return
        assert not is_whole
        with contextlib.closing(response.body):  # type: ignore[type-var]
            for piece in response.body:
                if piece:
                    self.wfile.write(b"%x\r\n%b\r\n" % (len(piece), piece))
        self.wfile.write(b"0\r\n\r\n")
