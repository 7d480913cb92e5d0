"""A response is read the same however its bytes arrive."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st
from localcloud.tasks.http_response import MAX_RETRY_AFTER_SECONDS, BadResponse, ResponseParser

PLAIN = b"HTTP/1.1 201 Created\r\nContent-Length: 5\r\nRetry-After: 7\r\n\r\nhello"
CHUNKED = (
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    b"5\r\nhello\r\n3;x=y\r\nabc\r\n0\r\nTrailer: 1\r\n\r\n"
)
INTERIM = b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n"


def parse(*pieces: bytes, is_head: bool = False) -> ResponseParser:
    parser = ResponseParser(is_head=is_head)
    for piece in pieces:
        parser.feed(piece)
    return parser


@pytest.mark.parametrize(("raw", "status"), [(PLAIN, 201), (CHUNKED, 200), (INTERIM, 204)])
@given(cuts=st.lists(st.integers(0, 120), max_size=10))
def test_a_response_may_arrive_in_any_pieces(raw: bytes, status: int, cuts: list[int]) -> None:
    edges = [0, *sorted(min(cut, len(raw)) for cut in cuts), len(raw)]
    pieces = [raw[start:end] for start, end in itertools.pairwise(edges)]
    parser = parse(*pieces)
    assert parser.is_complete
    assert parser.status == status
    assert parser.keeps_alive


def test_an_incomplete_response_is_not_complete() -> None:
    for raw in (PLAIN, CHUNKED, INTERIM):
        parser = parse(raw[:-1])
        assert not parser.is_complete
        with pytest.raises(BadResponse, match="closed"):
            parser.end()


def test_without_a_length_the_end_of_the_connection_is_the_end() -> None:
    parser = parse(b"HTTP/1.1 200 OK\r\n\r\nanything", b" at all")
    assert not parser.is_complete
    parser.end()
    assert parser.is_complete
    assert not parser.keeps_alive


@pytest.mark.parametrize(
    ("head", "keeps_alive"),
    [
        (b"HTTP/1.1 200 OK\r\n", True),
        (b"HTTP/1.1 200 OK\r\nConnection: close\r\n", False),
        (b"HTTP/1.1 200 OK\r\nconnection: Keep-Alive\r\n", True),
        (b"HTTP/1.0 200 OK\r\n", False),
        (b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\n", True),
    ],
)
def test_whether_the_connection_may_be_used_again(head: bytes, keeps_alive: bool) -> None:
    assert parse(head + b"Content-Length: 0\r\n\r\n").keeps_alive is keeps_alive


def test_the_answer_to_head_has_no_body_whatever_it_says() -> None:
    parser = parse(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", is_head=True)
    assert parser.is_complete
    assert parser.keeps_alive


def test_retry_after_is_told_in_seconds_and_a_date_is_not_heeded() -> None:
    assert parse(PLAIN).retry_after_seconds == 7
    dated = parse(
        b"HTTP/1.1 503 Busy\r\nRetry-After: Wed, 21 Oct 2026 07:28:00 GMT\r\nContent-Length: 0\r\n\r\n"
    )
    assert dated.retry_after_seconds is None


def test_more_bytes_than_were_announced_spoil_the_connection() -> None:
    parser = parse(PLAIN + b"more")
    assert parser.is_complete
    assert not parser.keeps_alive


@given(st.binary(max_size=300))
def test_no_bytes_at_all_make_the_parser_fail_in_another_way(raw: bytes) -> None:
    for prefix in (b"", b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"):
        parser = ResponseParser()
        try:
            parser.feed(prefix + raw)
            parser.end()
        except BadResponse:
            continue
        assert parser.is_complete


def test_a_retry_after_of_any_length_is_a_time_that_can_be_told() -> None:
    told = [
        parse(
            b"HTTP/1.1 429 Later\r\nContent-Length: 0\r\nRetry-After: %b\r\n\r\n" % value
        ).retry_after_seconds
        for value in (b"9", b"9" * 30, b"9" * 5000, b"-1", b"Wed, 21 Oct 2026 07:28:00 GMT")
    ]
    assert told == [9.0, MAX_RETRY_AFTER_SECONDS, MAX_RETRY_AFTER_SECONDS, None, None]
