"""The worker class under gunicorn itself: slow clients, kept connections, failures, the end."""

from __future__ import annotations

import os
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from localcloud.testing.waiting import wait_until

pytestmark = pytest.mark.skipif(not hasattr(select, "epoll"), reason="elsewhere it is gunicorn's own worker")

ROOT = Path(__file__).parents[2]
THREADS = 2
APPLICATION = """
import time

def app(environ, start_response):
    path = environ["PATH_INFO"]
    if path == "/fails":
        raise ValueError("on purpose")
    if path == "/slow":
        open("slow", "w").close()
        time.sleep(1)
    body = environ["wsgi.input"].read() or path.encode()
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body]
"""


class Server:
    """gunicorn with two threads and the application above."""

    def __init__(self, folder: Path) -> None:
        (folder / "program.py").write_text(APPLICATION)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = int(free.getsockname()[1])
        self.slow_has_begun = folder / "slow"
        command = [sys.executable, "-m", "gunicorn", "--bind", f"127.0.0.1:{self.port}", "--keep-alive", "1"]
        command += ["--worker-class", "pushtasks.web.gunicorn_worker.Worker", "--threads", str(THREADS)]
        command += ["--no-control-socket", "--graceful-timeout", "10", "program:app"]
        environ = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path])}
        self.process = subprocess.Popen(
            command, cwd=folder, env=environ, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=30)

    def get(self, path: str) -> bytes:
        """The whole answer to a request on a connection of its own; empty if there was none."""
        try:
            with self.connect() as client:
                client.sendall(request(path, "Connection: close\r\n"))
                return until_closed(client)
        except OSError:
            return b""

    def is_up(self) -> bool:
        return self.get("/up").startswith(b"HTTP/1.1 200")


def request(path: str, headers: str = "") -> bytes:
    return f"GET {path} HTTP/1.1\r\nHost: localhost\r\n{headers}\r\n".encode()


def until_closed(client: socket.socket) -> bytes:
    received = b""
    while data := client.recv(65536):
        received += data
    return received


def until(client: socket.socket, end: bytes) -> bytes:
    received = b""
    while not received.endswith(end):
        data = client.recv(65536)
        assert data, f"closed after {received!r}"
        received += data
    return received


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    server = Server(tmp_path)
    try:
        wait_until(server.is_up, "gunicorn to answer", 30)
        yield server
    finally:
        server.process.kill()
        server.process.wait()


def test_clients_that_send_nothing_hold_up_nobody(server: Server) -> None:
    silent = [server.connect() for _ in range(10 * THREADS)]
    try:
        assert server.get("/here").endswith(b"/here")
    finally:
        for client in silent:
            client.close()


def test_more_connections_than_threads_are_kept_and_served_in_turn(server: Server) -> None:
    clients = [server.connect() for _ in range(4 * THREADS)]
    for turn in range(3):
        for number, client in enumerate(clients):
            client.sendall(request(f"/{turn}-{number}"))
        for number, client in enumerate(clients):
            assert until(client, f"/{turn}-{number}".encode())
    for client in clients:
        client.close()


def test_requests_that_come_behind_one_another_are_answered_in_order(server: Server) -> None:
    with server.connect() as client:
        client.sendall(request("/first") + request("/second") + request("/third", "Connection: close\r\n"))
        received = until_closed(client)
    assert [received.index(path) for path in (b"/first", b"/second", b"/third")] == sorted(
        received.index(path) for path in (b"/first", b"/second", b"/third")
    )


def test_a_body_that_comes_late_is_waited_for(server: Server) -> None:
    with server.connect() as client:
        client.sendall(b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4\r\n\r\nab")
        assert server.get("/other").endswith(b"/other")
        client.sendall(b"cd")
        assert until(client, b"abcd")


def test_a_request_that_waits_for_a_thread_is_not_taken_for_an_idle_connection(server: Server) -> None:
    clients = [server.connect() for _ in range(4 * THREADS)]
    for client in clients:
        client.sendall(request("/slow", "Connection: close\r\n"))
    for client in clients:
        assert until_closed(client).endswith(b"/slow")
        client.close()


def test_a_connection_that_waits_too_long_is_closed(server: Server) -> None:
    with server.connect() as client:
        client.sendall(request("/once"))
        until(client, b"/once")
        assert client.recv(1) == b""


def test_failures_use_up_no_threads(server: Server) -> None:
    for _ in range(3 * THREADS):
        assert server.get("/fails").startswith(b"HTTP/1.1 500")
    assert server.is_up()


def test_clients_that_leave_in_the_middle_use_up_no_threads(server: Server) -> None:
    for _ in range(3 * THREADS):
        with server.connect() as client:
            client.sendall(b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 400\r\n\r\nab")
    assert server.is_up()


def test_on_sigterm_requests_under_way_are_answered_and_the_program_ends(server: Server) -> None:
    with server.connect() as waits, server.connect() as client:
        waits.sendall(request("/kept"))
        until(waits, b"/kept")
        client.sendall(request("/slow"))
        wait_until(server.slow_has_begun.exists, "the slow request to begin", 20)
        server.process.send_signal(signal.SIGTERM)
        assert until_closed(client).endswith(b"/slow")
    assert server.process.wait(20) == 0


def test_a_killed_process_is_replaced(server: Server) -> None:
    [child] = psutil.Process(server.process.pid).children()
    child.kill()
    wait_until(lambda: not child.is_running() and server.is_up(), "another process to answer", 30)
