"""What comes back: the service's answer, collected whole, or a page that says what went wrong."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
import uvloop
from localcloud.frontend.upstream import InstanceConnection

from tests.frontend.harness import OK, FrontEnd, Received

CLOSING = b"HTTP/1.1 200 OK\r\nConnection: close\r\n"
HTML = {"Accept": "text/html,*/*"}


def response(body: bytes, *lines: bytes, status: bytes = b"200 OK") -> bytes:
    head = b"HTTP/1.1 " + status + b"\r\n" + b"".join(line + b"\r\n" for line in lines)
    return head + b"Content-Length: %d\r\n\r\n" % len(body) + body


def test_status_headers_and_body_pass(front_end: FrontEnd) -> None:
    front_end.answer_with(
        response(b"made", b"Set-Cookie: a=1", b"Set-Cookie: b=2", b"X-Own: 1", status=b"201 Created")
    )
    answer = front_end.request("POST", "/", b"{}")
    assert (answer.status, answer.body) == (201, b"made")
    assert [value for name, value in answer.headers if name == "Set-Cookie"] == ["a=1", "b=2"]
    assert answer.header("X-Own") == "1"


def test_a_chunked_answer_is_collected_whole(front_end: FrontEnd) -> None:
    front_end.answer_with(
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nServer: gunicorn\r\n\r\n"
        b"3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"
    )
    answer = front_end.request()
    assert answer.body == b"abcde"
    assert answer.header("Content-Length") == "5"
    assert answer.header("Transfer-Encoding") is None
    assert answer.header("Server") == "localcloud"


def test_an_answer_that_ends_with_its_connection_is_whole(front_end: FrontEnd) -> None:
    front_end.answer_with(b"HTTP/1.0 200 OK\r\n\r\nuntil the end")
    assert front_end.request().body == b"until the end"


def test_early_hints_are_no_answer(front_end: FrontEnd) -> None:
    front_end.answer_with(b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" + OK)
    assert front_end.request().body == b"ok"


def test_head_gets_the_length_without_the_body(front_end: FrontEnd) -> None:
    front_end.answer_with(b"HTTP/1.1 200 OK\r\nContent-Length: 1234\r\n\r\n")
    answer = front_end.request("HEAD")
    assert (answer.status, answer.body, answer.header("Content-Length")) == (200, b"", "1234")
    front_end.answer_with(OK)
    assert front_end.request().body == b"ok"


@pytest.mark.parametrize("status", [b"204 No Content", b"304 Not Modified"])
def test_an_answer_without_a_body_has_none(front_end: FrontEnd, status: bytes) -> None:
    front_end.answer_with(b"HTTP/1.1 " + status + b"\r\nETag: x\r\n\r\n")
    answer = front_end.request()
    assert (answer.status, answer.body) == (int(status[:3]), b"")


def test_connections_to_an_instance_are_kept(front_end: FrontEnd) -> None:
    for _ in range(5):
        front_end.request()
    assert front_end.instance().connections == 1


def test_a_kept_connection_that_has_been_closed_is_not_noticed_by_a_get(front_end: FrontEnd) -> None:
    front_end.answer_with(OK, None, OK)
    assert [front_end.request().status for _ in range(2)] == [200, 200]
    assert len(front_end.instance().received) == 3


def test_a_get_that_a_stopping_instance_has_not_read_is_asked_again_once(front_end: FrontEnd) -> None:
    front_end.answer_with(CLOSING + b"\r\nok")  # no connection is kept
    for resets, status in ((1, 200), (2, 502)):
        front_end.instance().resets = resets
        assert front_end.request().status == status
    front_end.instance().resets = 1
    assert front_end.request("POST", "/", b"1").status == 502


def test_a_get_that_a_program_has_read_and_died_of_is_not_asked_again(front_end: FrontEnd) -> None:
    front_end.answer_with(None, OK)
    assert front_end.request().status == 502
    assert len(front_end.instance().received) == 1


def test_a_post_is_never_sent_twice(front_end: FrontEnd) -> None:
    front_end.answer_with(OK, None, OK)
    assert front_end.request().status == 200
    answer = front_end.request("POST", "/", b"1")
    assert answer.status == 502
    assert "closed the connection without an answer" in answer.text
    assert len(front_end.instance().received) == 2


@pytest.mark.parametrize("size", [1, 20_000, 300_000, 4_000_000])
def test_a_refused_body_does_not_spoil_the_next_visitors_request(front_end: FrontEnd, size: int) -> None:
    """As gunicorn does it: an answer before the body was read, and the connection closes a little later."""
    instance = front_end.instance()

    async def refuse(_: Received) -> bytes | None:
        return response(b"", status=b"413 Content Too Large")

    instance.answer_early = refuse
    for _ in range(5):
        assert front_end.request("POST", "/big", b"x" * size).status == 413
        instance.answer_early = None
        assert front_end.request("POST", "/", b"1").status == 200
        instance.answer_early = refuse


def test_a_large_body_is_the_last_on_its_connection_for_who_knows_whether_it_was_read(
    front_end: FrontEnd,
) -> None:
    for _ in range(3):
        assert front_end.request("POST", "/", b"x" * 20_000).status == 200
    assert front_end.instance().connections == 3


def test_a_kept_connection_that_was_closed_is_known_before_anything_is_sent() -> None:
    """So a POST goes to a new one: the instance can't have read what was never sent."""

    async def look() -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            loop = asyncio.get_running_loop()
            _, connection = await loop.create_connection(InstanceConnection, *listener.getsockname())
            peer, _ = listener.accept()
            assert connection.is_quiet()
            peer.close()
            assert connection.is_open  # the loop has not been told yet
            assert not connection.is_quiet()
            connection.close()

    uvloop.run(look())


@pytest.mark.parametrize(
    ("sent", "said"),
    [
        (None, "closed the connection without an answer"),
        (b"garbage\r\n\r\n", "is not HTTP"),
        (CLOSING + b"Content-Length: 10\r\n\r\nabc", "in the middle of its answer"),
        (CLOSING + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\nab", "is not HTTP"),
    ],
)
def test_an_instance_that_answers_nonsense_gives_502_with_its_log(
    front_end: FrontEnd, sent: bytes | None, said: str
) -> None:
    front_end.answer_with(sent)
    answer = front_end.request(headers=HTML)
    assert answer.status == 502
    assert said in answer.text
    assert "logs/default*.log" in answer.text
    assert answer.header("Content-Type") == "text/html; charset=utf-8"
    front_end.answer_with(OK)
    assert front_end.request().status == 200


def test_an_answer_over_32_mb_is_not_passed_on(front_end: FrontEnd) -> None:
    front_end.answer_with(response(b"x" * (32 * 1024 * 1024 + 1)))
    answer = front_end.request()
    assert answer.status == 500
    assert "larger than 32 MB" in answer.text


def test_an_answer_of_32_mb_passes(front_end: FrontEnd) -> None:
    front_end.answer_with(response(b"x" * (32 * 1024 * 1024)))
    assert len(front_end.request().body) == 32 * 1024 * 1024


def test_an_answer_that_takes_too_long_gives_504(start_front_end: Callable[..., FrontEnd]) -> None:
    front_end = start_front_end(answer_seconds=0.2)

    async def never(_: Received) -> bytes | None:
        await asyncio.sleep(3600)
        return None

    front_end.instance().answer = never
    answer = front_end.request()
    assert answer.status == 504
    assert "did not answer within 0.2 s" in answer.text


def test_a_service_that_does_not_run_gives_503_with_its_log(start_front_end: Callable[..., FrontEnd]) -> None:
    front_end = start_front_end(pending_seconds=0.1)
    front_end.run(front_end.instance().stop())
    answer = front_end.request(headers=HTML)
    assert answer.status == 503
    assert "is not running" in answer.text
    assert "logs/default*.log" in answer.text


def test_a_request_waits_for_a_service_that_is_just_starting(
    start_front_end: Callable[..., FrontEnd],
) -> None:
    front_end = start_front_end(pending_seconds=10.0)
    late = front_end.instance()
    front_end.run(late.stop())
    starter = threading.Timer(0.3, lambda: front_end.run(late.start(late.port)))
    starter.start()
    assert front_end.request("POST", "/", b"1").status == 200
    starter.join()
    assert len(late.received) == 1


def test_requests_spread_over_the_instances_that_are_least_busy(
    start_front_end: Callable[..., FrontEnd],
) -> None:
    front_end = start_front_end(instances={"default": 3})
    release = threading.Event()

    async def hold(_: Received) -> bytes | None:
        while not release.is_set():
            await asyncio.sleep(0.005)
        return OK

    for number in range(3):
        front_end.instance("default", number).answer = hold

    def arrived() -> list[int]:
        return [len(front_end.instance("default", number).received) for number in range(3)]

    with ThreadPoolExecutor(9) as pool:
        answers = [pool.submit(front_end.request) for _ in range(9)]
        deadline = time.monotonic() + 10
        while sum(arrived()) < 9 and time.monotonic() < deadline:
            time.sleep(0.005)
        assert arrived() == [3, 3, 3]
        release.set()
        assert {answer.result().status for answer in answers} == {200}


def test_an_instance_that_is_down_is_passed_over(start_front_end: Callable[..., FrontEnd]) -> None:
    front_end = start_front_end(instances={"default": 2})
    front_end.run(front_end.instance("default", 1).stop())
    assert {front_end.request("POST", "/", b"1").status for _ in range(6)} == {200}
    assert len(front_end.instance("default", 0).received) == 6


def test_a_stopping_front_end_finishes_what_it_is_answering(front_end: FrontEnd) -> None:
    release = threading.Event()

    async def hold(_: Received) -> bytes | None:
        while not release.is_set():
            await asyncio.sleep(0.005)
        return OK

    front_end.instance().answer = hold
    server = front_end._server
    assert server is not None
    with ThreadPoolExecutor(2) as pool:
        answer = pool.submit(front_end.request)
        deadline = time.monotonic() + 10
        while not front_end.instance().received and time.monotonic() < deadline:
            time.sleep(0.005)
        stopping = pool.submit(lambda: front_end.run(server.stop(5.0)))
        release.set()
        assert answer.result().status == 200
        stopping.result()


def test_a_failure_of_the_front_end_itself_is_an_answer_too(front_end: FrontEnd) -> None:
    assert front_end.gateway is not None
    front_end.gateway.balancers = {}
    assert front_end.request().status == 500
