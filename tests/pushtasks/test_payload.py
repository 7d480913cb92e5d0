"""Named values out of queries and bodies; nothing that arrives raises anything but Rejected."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pushtasks.errors import Rejected
from pushtasks.payload import fields_of

FORM = "application/x-www-form-urlencoded"
EXPECTED = {"counter": "visits", "amount": "5"}


@pytest.mark.parametrize(
    ("query", "content_type", "body"),
    [
        ("counter=visits&amount=5", "", b""),
        ("", FORM, b"counter=visits&amount=5"),
        ("counter=visits", FORM, b"amount=5"),
        ("", FORM + "; charset=latin-1", b"counter=visits&amount=5"),
        ("", "application/json", b'{"counter": "visits", "amount": "5"}'),
        (
            "",
            'application/json; a="b;charset=utf-16"; Charset="UTF8"',
            b'{"counter": "visits", "amount": "5"}',
        ),
        ("", "application/octet-stream", b'{"counter": "visits", "amount": "5"}'),
        ("", "application/octet-stream", b"counter=visits&amount=5"),
        ("", "", b"counter=visits&amount=5"),
    ],
)
def test_values_come_by_query_form_or_json(query: str, content_type: str, body: bytes) -> None:
    assert fields_of(query, content_type, body) == EXPECTED


@pytest.mark.parametrize(
    ("query", "content_type", "body", "where"),
    [
        ("counter=%ff", "", b"", "query string"),
        ("counter=\xff", "", b"", "query string"),
        ("", FORM, b"counter=%ff", "body"),
        ("", FORM, b"counter=\xff\xfe", "body"),
        ("", FORM + "; charset=klingon", b"counter=a", "Content-Type"),
        ("", FORM + "; charset=undefined", b"counter=a", "Content-Type"),
        ("", FORM + "; charset=punycode", b"counter=a", "Content-Type"),
        ("", FORM + "; charset=utf-16", b"counter=a", "Content-Type"),
        ("", FORM + "; charset=", b"counter=a", "Content-Type"),
        ("", FORM + "; charset=us-ascii", b"counter=\xe9", "body"),
        ("", "multipart/form-data; boundary*=undefined''b", b"x", "Content-Type"),
        ("", "multipart/form-data", b"x", "Content-Type"),
        ("", "multipart/form-data; boundary=", b"x", "Content-Type"),
        ("", "application/json", b'{"counter": ', "body"),
        ("", "application/json", b"[1]", "body"),
        ("", "application/json", b'{"amount": NaN}', "body"),
        ("", "application/json", b'{"amount": 1, "amount": 2}', "body"),
        ("", "application/json", b"[" * 100_000, "body"),
        ("", "application/json", b"\xff", "body"),
        ("a=1&a=2", "", b"", "a"),
        ("a=1", FORM, b"a=1", "a"),
        ("&".join(f"f{n}=1" for n in range(200)), "", b"", "query string"),
    ],
)
def test_what_cannot_be_read_is_named(query: str, content_type: str, body: bytes, where: str) -> None:
    with pytest.raises(Rejected) as caught:
        fields_of(query, content_type, body)

    assert caught.value.field == where


@given(
    st.text(st.characters(max_codepoint=255), max_size=50),
    st.sampled_from(
        ["", FORM, "application/json", "multipart/form-data; boundary=b", "text/plain; charset=\xff"]
    )
    | st.text(st.characters(min_codepoint=32, max_codepoint=255), max_size=50),
    st.binary(max_size=100),
)
def test_whatever_arrives_is_read_or_refused(query: str, content_type: str, body: bytes) -> None:
    with suppress(Rejected):
        fields_of(query, content_type, body)
