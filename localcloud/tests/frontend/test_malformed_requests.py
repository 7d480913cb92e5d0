"""Malformed, oversized and smuggled requests are refused, and nothing of them reaches a service."""

from __future__ import annotations

import socket

import pytest

from tests.frontend.harness import FrontEnd

HOST = b"Host: localhost\r\n"
SMUGGLED = b"GET /admin/smuggled HTTP/1.1\r\nHost: localhost\r\n\r\n"


@pytest.mark.parametrize(
    "head",
    [
        b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
        b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n",
        b"Content-Length: 0\r\nContent-Length: 60\r\n",
        b"Content-Length: 5, 6\r\n",
        b"Content-Length: +5\r\n",
        b"Content-Length: 0x5\r\n",
        b"Content-Length: -1\r\n",
        b"Content-Length : 5\r\n",
        b"Transfer-Encoding: xchunked\r\n",
        b"Transfer-Encoding: chunked, identity\r\n",
        b"Transfer-Encoding: identity, chunked\r\n",
        b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
        b"Transfer-Encoding:\x0bchunked\r\n",
        b"X: a\r\n folded\r\n",
        b"X: a\rContent-Length: 5\r\n",
        b"X: a\x00b\r\n",
        b": no name\r\n",
        b"no colon\r\n",
        b"Host: other\r\n",
    ],
)
def test_ambiguous_framing_is_refused_and_the_connection_closed(front_end: FrontEnd, head: bytes) -> None:
    answer = front_end.raw(b"POST / HTTP/1.1\r\n" + HOST + head + b"\r\n" + SMUGGLED)
    assert answer.startswith((b"HTTP/1.1 400", b"HTTP/1.1 501"))
    assert answer.count(b"HTTP/1.1") == 1
    assert front_end.instance().received == []


@pytest.mark.parametrize(
    "data",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        b"GET / HTTP/3.0\r\n" + HOST + b"\r\n",
        b"GET /\xff HTTP/1.1\r\n" + HOST + b"\r\n",
        b"GET /a b HTTP/1.1\r\n" + HOST + b"\r\n",
        b"BREW / HTTP/1.1\r\n" + HOST + b"\r\n",
        b"OPTIONS * HTTP/1.1\r\n" + HOST + b"\r\n",
        b"CONNECT localhost:1 HTTP/1.1\r\n" + HOST + b"\r\n",
        b"GET http://other/admin HTTP/1.1\r\n" + HOST + b"\r\n",
        b"GET / HTTP/1.1\nHost: localhost\n\n",
        b"POST / HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n0x3\r\nabc\r\n0\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00",
    ],
)
def test_what_is_no_valid_request_gets_an_error(front_end: FrontEnd, data: bytes) -> None:
    answer = front_end.raw(data)
    assert answer[9:12] in (b"400", b"505", b"501")
    assert front_end.instance().received == []


def test_a_target_in_absolute_form_is_taken_if_it_names_the_same_host(front_end: FrontEnd) -> None:
    front_end.raw(b"GET http://localhost/x?y HTTP/1.1\r\n" + HOST + b"\r\n")
    assert front_end.instance().received[0].line == "GET /x?y HTTP/1.1"


@pytest.mark.parametrize("method", [b"GET", b"HEAD"])
def test_a_body_where_none_belongs_is_refused(front_end: FrontEnd, method: bytes) -> None:
    answer = front_end.raw(method + b" / HTTP/1.1\r\n" + HOST + b"Content-Length: 3\r\n\r\nabc")
    assert answer.startswith(b"HTTP/1.1 400")
    assert front_end.instance().received == []


def test_a_body_over_32_mb_is_refused_before_it_is_sent(front_end: FrontEnd) -> None:
    head = b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: 33554433\r\n\r\n"
    assert front_end.raw(head + b"x" * 100_000, half_close=False).startswith(b"HTTP/1.1 413")


def test_a_chunked_body_over_32_mb_is_refused_on_the_way(front_end: FrontEnd) -> None:
    with socket.create_connection(("127.0.0.1", front_end.port), timeout=10) as client:
        client.sendall(b"POST / HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n")
        chunk = b"100000\r\n" + b"x" * 0x100000 + b"\r\n"
        try:
            for _ in range(40):
                client.sendall(chunk)
        except OSError:
            pass
        assert client.recv(100).startswith(b"HTTP/1.1 413")
    assert front_end.instance().received == []


def test_an_endless_head_is_refused(front_end: FrontEnd) -> None:
    answer = front_end.raw(b"GET / HTTP/1.1\r\n" + HOST + b"X: " + b"a" * 70_000, half_close=False)
    assert answer.startswith(b"HTTP/1.1 431")


@pytest.mark.parametrize(
    "head",
    [
        b"GET / HTTP/1.1\r\n" + HOST + b"X: " + b"a" * 70_000 + b"\r\n\r\n",
        b"GET /" + b"a" * 70_000 + b" HTTP/1.1\r\n" + HOST + b"\r\n",
    ],
)
def test_a_large_head_is_refused_even_if_it_comes_whole(front_end: FrontEnd, head: bytes) -> None:
    assert front_end.raw(head).startswith(b"HTTP/1.1 431")
    assert front_end.instance().received == []


def test_a_client_that_asks_is_told_to_go_on(front_end: FrontEnd) -> None:
    with socket.create_connection(("127.0.0.1", front_end.port), timeout=10) as client:
        client.sendall(b"POST / HTTP/1.1\r\n" + HOST + b"Expect: 100-continue\r\nContent-Length: 2\r\n\r\n")
        assert client.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
        client.sendall(b"hi")
        assert client.recv(100).startswith(b"HTTP/1.1 200")
    assert front_end.instance().received[0].values("Expect") == []


def test_requests_in_one_piece_are_answered_in_order(front_end: FrontEnd) -> None:
    one = b"GET /%d HTTP/1.1\r\n" + HOST + b"\r\n"
    last = b"GET /last HTTP/1.1\r\n" + HOST + b"Connection: close\r\n\r\n"
    answer = front_end.raw(b"".join(one % number for number in range(40)) + last, half_close=False)
    assert answer.count(b"HTTP/1.1 200") == 41
    lines = [request.line.split()[1] for request in front_end.instance().received]
    assert lines == [*(f"/{number}" for number in range(40)), "/last"]


def test_an_upgrade_is_not_offered(front_end: FrontEnd) -> None:
    answer = front_end.raw(
        b"GET / HTTP/1.1\r\n" + HOST + b"Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n", half_close=False
    )
    assert answer.startswith(b"HTTP/1.1 200")
    assert b"Connection: close" in answer
    assert front_end.instance().received[0].values("Upgrade") == []


def test_http_1_0_gets_one_answer_and_the_end(front_end: FrontEnd) -> None:
    answer = front_end.raw(
        b"GET / HTTP/1.0\r\nHost: localhost\r\nConnection: keep-alive\r\n\r\n", half_close=False
    )
    assert b"Connection: close" in answer
    assert answer.endswith(b"ok")
