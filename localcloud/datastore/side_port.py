"""The HTTP side port: a health check, the counts, and a reset for tests."""

from __future__ import annotations

import json
import sqlite3
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from localcloud.datastore.errors import BadStart
from localcloud.datastore.service import Service
from localcloud.http_guard import FORBIDDEN, HttpGuard


class SidePort:
    """GET / (alive), GET /counts, POST /reset."""

    def __init__(self, service: Service, host: str, port: int) -> None:
        """Listen, without serving yet. Raises BadStart if that is impossible."""

        class Handler(_Handler):
            datastore = service
            guard = HttpGuard(host, port)

        try:
            self._server = ThreadingHTTPServer((host, port), Handler)
        except OSError as error:
            raise BadStart(
                f"cannot listen on {host}:{port} ({error.strerror}). Choose another --http-port, or 0."
            ) from None
        self._server.daemon_threads = True
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
        """Returns when it has stopped."""
        if self._thread.is_alive():
            self._server.shutdown()
            self._thread.join()
        self._server.server_close()


class _Handler(BaseHTTPRequestHandler):
    datastore: Service
    guard: HttpGuard

    def do_GET(self) -> None:
        if self._is_refused():
            return
        if self.path == "/":
            self._answer(200, "text/plain", "Ok\n")
        elif self.path == "/counts":
            self._answer(200, "application/json", json.dumps(self.datastore.counts.as_json()))
        else:
            self._answer(404, "text/plain", "There is GET /, GET /counts and POST /reset.\n")

    def do_POST(self) -> None:
        if self._is_refused():
            return
        # The official emulators reset themselves at POST /reset, too.
        if self.path == "/reset":
            try:
                self.datastore.reset()
            except sqlite3.Error as error:
                trouble = self.datastore.file_trouble(error) or f"The reset failed: {error}."
                self._answer(503, "text/plain", f"{trouble}\n")
                return
            self._answer(200, "text/plain", "Ok\n")
        else:
            self._answer(404, "text/plain", "There is GET /, GET /counts and POST /reset.\n")

    def log_message(self, format: str, *args: object) -> None:
        """Nothing: these requests are not worth a line."""

    def _is_refused(self) -> bool:
        """Answers a request that another site's page may have sent."""
        refusal = self.guard.refusal(self.command, self.headers.get)
        if refusal is not None:
            self._answer(FORBIDDEN, "text/plain", f"{refusal}\n")
        return refusal is not None

    def _answer(self, status: int, content_type: str, text: str) -> None:
        content = text.encode()
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)
