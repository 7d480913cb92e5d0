"""A target that is down, hangs, talks nonsense, hangs up, never stops: the attempt fails, the queue lives."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from datetime import timedelta

import pytest
from localcloud.tasks import TasksServer, sender
from localcloud.tasks.clock import MILLISECOND_US

from tests.tasks.conftest import StartServer
from tests.tasks.harness import Handler, client_of, wait_until

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
HEAD_BYTES = 65536


class BadTarget:
    """Accepts connections, reads a request from each, and handles it as it is told."""

    def __init__(self, misbehave: Callable[[socket.socket], None]) -> None:
        self._misbehave = misbehave
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.connections = 0
        self.requests: list[bytes] = []
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    def close(self) -> None:
        # Wakes the thread out of accept().
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with connection:
            try:
                self.requests.append(connection.recv(HEAD_BYTES))
                self._misbehave(connection)
            except OSError:
                pass


@pytest.fixture
def bad_target() -> Iterator[Callable[[Callable[[socket.socket], None]], BadTarget]]:
    targets: list[BadTarget] = []

    def make(misbehave: Callable[[socket.socket], None]) -> BadTarget:
        targets.append(BadTarget(misbehave))
        return targets[-1]

    yield make
    for target in targets:
        target.close()


def attempt(start_server: StartServer, url: str, handler: Handler) -> str:
    """One attempt at `url`; the queue must deliver the next task to a good handler. What the log says."""
    lines: list[str] = []
    server: TasksServer = start_server(targets=[f"bad={url}", f"good={handler.url}"], write_log=lines.append)
    queue = f"{server.location_name}/queues/q"
    with client_of(server.address) as client:
        for service, attempts in (("bad", 1), ("good", 1)):
            client.create_task(
                parent=queue,
                task={
                    "app_engine_http_request": {"app_engine_routing": {"service": service}},
                    "retry_config": {"max_attempts": attempts},
                },
            )
    server.wait_idle(20)
    assert len(handler.requests) == 1
    assert len(lines) == 1
    assert "GIVEN UP" in lines[0]
    return lines[0]


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


def test_a_target_that_is_down(start_server: StartServer, handler: Handler) -> None:
    line = attempt(start_server, f"http://127.0.0.1:{free_port()}", handler)
    assert "connection refused" in line


def test_an_attempt_at_a_target_that_is_down_had_no_response(
    start_server: StartServer, handler: Handler
) -> None:
    port = free_port()
    server = start_server(targets=[f"http://127.0.0.1:{port}"])
    queue = f"{server.location_name}/queues/q"
    with client_of(server.address) as client:
        task = client.create_task(parent=queue, task={"app_engine_http_request": {}})
        wait_until(lambda: client.get_task(name=task.name).dispatch_count >= 2)
        told = client.get_task(name=task.name)
        assert told.response_count == 0
        assert told.last_attempt.response_status.code == 14
        client.purge_queue(name=queue)


@pytest.mark.parametrize(
    ("is_app_engine", "hangs", "previous", "reason"),
    [
        (True, False, b"0", b"Instance Unavailable"),
        (True, True, b"0", b"Instance Unavailable"),
        (False, False, b"0", b""),
        (False, True, b"504", b""),
    ],
)
def test_what_a_retry_is_told_of_an_attempt_without_an_answer(
    start_server: StartServer,
    bad_target: Callable[..., BadTarget],
    monkeypatch: pytest.MonkeyPatch,
    is_app_engine: bool,
    hangs: bool,
    previous: bytes,
    reason: bytes,
) -> None:
    def misbehave(connection: socket.socket) -> None:
        if len(target.requests) > 1:
            connection.sendall(OK)
        elif hangs:
            connection.recv(1)  # until the deadline closes it

    for limit in ("AUTOMATIC_SCALING_LIMIT_US", "HTTP_DEADLINE_US"):
        monkeypatch.setattr(sender, limit, 500 * MILLISECOND_US)
    target = bad_target(misbehave)
    server = start_server(targets=[target.url])
    kind = {"app_engine_http_request": {}} if is_app_engine else {"http_request": {"url": target.url}}
    with client_of(server.address) as client:
        client.create_task(parent=f"{server.location_name}/queues/q", task=kind)
    server.wait_idle()
    prefix = b"X-AppEngine-" if is_app_engine else b"X-CloudTasks-"
    assert b"%bTaskRetryCount: 1\r\n" % prefix in target.requests[1]
    assert b"%bTaskExecutionCount: 0\r\n" % prefix in target.requests[1]
    assert b"%bTaskPreviousResponse: %b\r\n" % (prefix, previous) in target.requests[1]
    assert b"%bTaskRetryReason: %b\r\n" % (prefix, reason) in target.requests[1]


@pytest.mark.parametrize("digits", [18, 5000])
def test_a_target_that_asks_to_be_left_alone_for_longer_than_a_number_holds(
    start_server: StartServer, handler: Handler, bad_target: Callable[..., BadTarget], digits: int
) -> None:
    answer = b"HTTP/1.1 429 Later\r\nContent-Length: 0\r\nRetry-After: %b\r\n\r\n" % (b"9" * digits)
    target = bad_target(lambda connection: connection.sendall(answer))
    server = start_server()
    queue = f"{server.location_name}/queues/q"
    with client_of(server.address) as client:
        task = client.create_task(parent=queue, task={"http_request": {"url": target.url}})
        wait_until(lambda: bool(client.get_task(name=task.name).response_count))
        client.create_task(parent=queue, task={"app_engine_http_request": {}})  # is written, and delivered
        handler.wait_for(1)
        kept = client.get_task(name=task.name)
        assert kept.schedule_time > kept.create_time + timedelta(days=365)


def test_a_target_that_hangs(
    start_server: StartServer,
    handler: Handler,
    bad_target: Callable[..., BadTarget],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sender, "AUTOMATIC_SCALING_LIMIT_US", 200 * MILLISECOND_US)
    ended = threading.Event()
    target = bad_target(lambda connection: ended.set() if connection.recv(1) == b"" else None)
    line = attempt(start_server, target.url, handler)
    assert "no answer before the dispatch deadline" in line
    assert ended.wait(5), "the connection was not closed"


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (b"\x00\xff garbage \r\n\r\n", "not HTTP"),
        (b"garbage without an end", "not HTTP"),
        (b"HTTP/1.1 2000 OK\r\n\r\n", "not HTTP"),
        (b"HTTP/2 200\r\n\r\n", "not HTTP"),
        (b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n", "without a colon"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", "Content-Length"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n", "chunk"),
        (b"HTTP/1.1 200 OK\r\nX: " + b"x" * 70_000, "head of more than"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 104857600\r\n\r\n", "more than 32 MB"),
        (b"", "closed before"),
        (b"HTTP/1.1 200 O", "closed before"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nab", "closed before"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab", "closed before"),
        (b"HTTP/1.1 100 Continue\r\n\r\n", "closed before"),
    ],
)
def test_a_target_that_answers_nonsense_or_closes_early(
    start_server: StartServer,
    handler: Handler,
    bad_target: Callable[..., BadTarget],
    answer: bytes,
    reason: str,
) -> None:
    target = bad_target(lambda connection: connection.sendall(answer))
    assert reason in attempt(start_server, target.url, handler)
    assert target.connections == 1


def test_a_target_that_sends_a_hundred_megabytes(
    start_server: StartServer, handler: Handler, bad_target: Callable[..., BadTarget]
) -> None:
    chunk = b"x" * 1_000_000

    def flood(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        for _ in range(100):
            connection.sendall(chunk)

    target = bad_target(flood)
    assert "more than 32 MB" in attempt(start_server, target.url, handler)


def test_a_reused_connection_that_turns_out_to_be_closed_is_replaced_at_once(
    start_server: StartServer, bad_target: Callable[..., BadTarget]
) -> None:
    # Answers once on each connection, reads the next request, and hangs up on it: as a server does whose
    # patience with an idle connection ended while the request was on its way.
    def once(connection: socket.socket) -> None:
        connection.sendall(OK)
        connection.recv(HEAD_BYTES)

    target = bad_target(once)
    lines: list[str] = []
    server = start_server(targets=[target.url], write_log=lines.append)
    with client_of(server.address) as client:
        for _ in range(2):
            client.create_task(
                parent=f"{server.location_name}/queues/q", task={"app_engine_http_request": {}}
            )
            server.wait_idle()
    assert lines == []
    assert target.connections == 2


def test_an_answer_to_nothing_closes_its_connection(
    start_server: StartServer, bad_target: Callable[..., BadTarget]
) -> None:
    def twice(connection: socket.socket) -> None:
        connection.sendall(OK + OK)
        connection.recv(HEAD_BYTES)

    target = bad_target(twice)
    server = start_server(targets=[target.url])
    with client_of(server.address) as client:
        for _ in range(2):
            client.create_task(
                parent=f"{server.location_name}/queues/q", task={"app_engine_http_request": {}}
            )
            server.wait_idle()
    assert target.connections == 2


def test_closing_the_server_cuts_off_what_is_under_way(
    start_server: StartServer, bad_target: Callable[..., BadTarget]
) -> None:
    reached = threading.Event()

    def hang(connection: socket.socket) -> None:
        reached.set()
        connection.recv(1)

    server = start_server(targets=[bad_target(hang).url])
    with client_of(server.address) as client:
        client.create_task(parent=f"{server.location_name}/queues/q", task={"app_engine_http_request": {}})
    assert reached.wait(5)
    server.close()
