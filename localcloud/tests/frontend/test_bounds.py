"""What outsiders can make the front end keep is bounded: connections, time, memory."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest
from localcloud.frontend.client_connection import ClientConnection
from localcloud.frontend.connections import Connections, most_connections
from localcloud.testing.waiting import wait_until

from tests.frontend.harness import OK, FrontEnd, Received

HEAD = b"GET / HTTP/1.1\r\nHost: localhost\r\n"
GET = HEAD + b"\r\n"
Start = Callable[..., FrontEnd]
Connect = Callable[[FrontEnd], socket.socket]


@pytest.fixture
def connect() -> Iterator[Connect]:
    """Opens a connection, and waits until the front end has taken or refused it."""
    with ExitStack() as opened:

        def open_one(front_end: FrontEnd) -> socket.socket:
            lines = len(front_end.log)
            client = opened.enter_context(socket.create_connection(("127.0.0.1", front_end.port), timeout=20))
            wait_until(lambda: len(front_end.log) > lines or known(front_end, client), "the connection")
            return client

        yield open_one


def known(front_end: FrontEnd, client: socket.socket) -> ClientConnection | None:
    """The front end's side of a connection."""
    return next((one for one in front_end.connections if one.peer_address == client.getsockname()), None)


def send(front_end: FrontEnd, client: socket.socket, data: bytes) -> None:
    """Returns when the front end has got it."""
    connection = known(front_end, client)
    assert connection is not None
    before = connection._last_activity
    client.sendall(data)
    wait_until(lambda: connection._last_activity != before, "the data")


def is_closed(client: socket.socket) -> bool:
    try:
        return client.recv(1) == b""
    except ConnectionResetError:
        return True


def hold(front_end: FrontEnd) -> threading.Event:
    """The instance answers once the event is set."""
    release = threading.Event()

    async def answer(_: Received) -> bytes | None:
        while not release.is_set():
            await asyncio.sleep(0.005)
        return OK

    front_end.instance().answer = answer
    return release


def test_one_connection_too_many_closes_the_one_that_was_idle_for_longest(
    start_front_end: Start, connect: Connect
) -> None:
    front_end = start_front_end(most_connections=3)
    first, second, third = (connect(front_end) for _ in range(3))
    first.sendall(GET)
    assert first.recv(1000).startswith(b"HTTP/1.1 200")  # now `second` is idle for longest
    fourth = connect(front_end)
    assert is_closed(second)
    for client in (first, third, fourth):
        client.sendall(GET)
        assert client.recv(1000).startswith(b"HTTP/1.1 200")
    assert len(front_end.connections) == 3
    assert front_end.log == ["more than 3 connections: the one that was idle for longest was closed"]


def test_a_request_that_is_being_answered_is_never_dropped_for_a_new_one(
    start_front_end: Start, connect: Connect
) -> None:
    front_end = start_front_end(most_connections=1)
    release = hold(front_end)
    busy = connect(front_end)
    busy.sendall(GET)
    wait_until(lambda: len(front_end.instance().received) == 1, "the request")
    refused = connect(front_end).recv(1000)
    assert refused.startswith(b"HTTP/1.1 503")
    assert b"\r\nRetry-After: 1\r\n" in refused
    release.set()
    assert busy.recv(1000).startswith(b"HTTP/1.1 200")
    assert front_end.log == ["all 1 connections are busy: a new one was refused"]


def test_a_client_that_goes_away_makes_no_room_while_its_request_is_answered(
    start_front_end: Start, connect: Connect
) -> None:
    front_end = start_front_end(most_connections=1)
    release = hold(front_end)
    gone = connect(front_end)
    gone.sendall(GET)
    wait_until(lambda: len(front_end.instance().received) == 1, "the request")
    (connection,) = front_end.connections
    gone.close()
    wait_until(lambda: connection._closing, "the end of the connection")
    assert connect(front_end).recv(1000).startswith(b"HTTP/1.1 503")
    release.set()
    wait_until(lambda: len(front_end.connections) == 0, "the end of the connection")
    assert front_end.request().status == 200


def test_an_idle_connection_is_closed_after_75_seconds(front_end: FrontEnd, connect: Connect) -> None:
    client = connect(front_end)
    client.sendall(b"\r\n")  # no request yet
    front_end.let_pass(70)
    client.sendall(GET)
    assert client.recv(1000).startswith(b"HTTP/1.1 200")
    front_end.let_pass(70)
    client.sendall(GET)
    assert client.recv(1000).startswith(b"HTTP/1.1 200")
    front_end.let_pass(76)
    assert is_closed(client)
    assert front_end.log == []  # each browser does so


@pytest.mark.parametrize("start", [b"G", HEAD, HEAD + b"Content-Length: 10\r\n\r\n12345"])
def test_a_request_that_stops_on_its_way_is_given_up_after_a_minute(
    front_end: FrontEnd, connect: Connect, start: bytes
) -> None:
    client = connect(front_end)
    send(front_end, client, start)
    front_end.let_pass(59)
    send(front_end, client, b"E")
    front_end.let_pass(59)
    assert len(front_end.connections) == 1
    front_end.let_pass(2)
    assert is_closed(client)
    assert front_end.log == ["a connection was closed: its client does not send the rest of the request"]


def test_a_request_that_comes_byte_by_byte_is_given_up_after_ten_minutes(
    front_end: FrontEnd, connect: Connect
) -> None:
    client = connect(front_end)
    send(front_end, client, HEAD + b"X: ")
    for _ in range(12):
        front_end.let_pass(49)
        send(front_end, client, b"a")
    assert len(front_end.connections) == 1
    front_end.let_pass(49)
    assert is_closed(client)


def untaken(front_end: FrontEnd, client: socket.socket) -> None:
    """A large answer is on its way to a client that does not read."""
    size = 16 * 1024 * 1024
    front_end.answer_with(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size + b"x" * size)
    client.sendall(GET)
    (connection,) = front_end.connections
    wait_until(lambda: connection._drained is not None, "a full buffer")


def test_an_answer_that_nobody_takes_is_given_up_after_a_minute(
    front_end: FrontEnd, connect: Connect
) -> None:
    untaken(front_end, connect(front_end))
    front_end.let_pass(0)
    front_end.let_pass(59)
    assert len(front_end.connections) == 1
    front_end.let_pass(2)
    wait_until(lambda: len(front_end.connections) == 0, "the end of the connection")
    assert front_end.log == ["a connection was closed: its client does not take the answer"]


def test_who_does_not_take_the_answer_makes_room_for_others(start_front_end: Start, connect: Connect) -> None:
    front_end = start_front_end(most_connections=1)
    untaken(front_end, connect(front_end))
    front_end.answer_with(OK)
    assert front_end.request().status == 200


POST = b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 900000\r\n\r\n"


def test_bodies_that_are_being_answered_leave_no_room_for_more(
    start_front_end: Start, connect: Connect
) -> None:
    front_end = start_front_end(most_held_bytes=2**20)
    release = hold(front_end)
    busy = connect(front_end)
    busy.sendall(POST + b"x" * 900_000)
    wait_until(lambda: len(front_end.instance().received) == 1, "the request")
    assert front_end.request("POST", "/", b"x" * 500_000).status == 503
    release.set()
    assert busy.recv(1000).startswith(b"HTTP/1.1 200")
    assert front_end.request("POST", "/", b"x" * 500_000).status == 200
    assert front_end.log == ["request bodies of 1 MB are held already: one was given up"]


def test_a_body_that_does_not_come_makes_room_for_one_that_does(
    start_front_end: Start, connect: Connect
) -> None:
    front_end = start_front_end(most_held_bytes=2**20)
    for _ in range(3):
        slow = connect(front_end)
        slow.sendall(POST + b"x" * 800_000)
        wait_until(lambda: front_end.connections.held_bytes == 800_000, "the first part")
        assert front_end.request("POST", "/", b"x" * 500_000).status == 200
        assert is_closed(slow)
        assert front_end.connections.held_bytes == 0


def test_what_was_held_is_given_back_when_the_client_goes(front_end: FrontEnd, connect: Connect) -> None:
    slow = connect(front_end)
    slow.sendall(POST + b"x" * 800_000)
    wait_until(lambda: front_end.connections.held_bytes == 800_000, "the first part")
    slow.close()
    wait_until(lambda: front_end.connections.held_bytes == 0, "nothing held")


def test_a_trailer_without_end_is_refused(front_end: FrontEnd, connect: Connect) -> None:
    client = connect(front_end)
    client.sendall(HEAD.replace(b"GET", b"POST") + b"Transfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\nX: ")
    client.sendall(b"a" * 1_000_000)
    assert client.recv(1000).startswith(b"HTTP/1.1 400")
    assert front_end.instance().received == []


def test_thousands_of_requests_in_one_piece_are_not_all_kept(front_end: FrontEnd) -> None:
    answer = front_end.raw(GET * 3000, half_close=False)
    assert b"HTTP/1.1 503" in answer
    assert len(front_end.instance().received) < 600


def test_the_same_line_is_said_once_a_minute() -> None:
    said: list[str] = []
    now = [0.0]
    connections = Connections(log=said.append, clock=lambda: now[0])
    for second in (0, 1, 59, 61, 62, 200):
        now[0] = second
        connections.tell("full")
    assert said == [
        "full",
        "full (and 2 times since this was last said)",
        "full (and 1 times since this was last said)",
    ]


def test_there_are_descriptors_for_all_connections() -> None:
    assert 16 <= most_connections() <= 1000
