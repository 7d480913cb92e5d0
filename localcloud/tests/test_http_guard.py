"""A page of another site reaches none of our HTTP ports, whatever name it uses; programs do, as before."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from localcloud.http_guard import Body, HttpGuard

PORT = 8123
OURS = f"localhost:{PORT}"
ORIGIN = f"http://{OURS}"


def refusal(
    method: str, headers: Mapping[str, str], body: Body = Body.ANY, *, bound: str = "127.0.0.1"
) -> str | None:
    return HttpGuard(bound, PORT).refusal(method, headers.get, body)


@pytest.mark.parametrize(
    "host",
    [
        "localhost:8123",
        "LOCALHOST:8123",
        "127.0.0.1:8123",
        "127.7.0.9:8123",
        "[::1]:8123",
        "a.localhost:8123",
    ],
)
def test_the_port_is_reached_by_every_loopback_address_and_name(host: str) -> None:
    assert refusal("GET", {"host": host}) is None


@pytest.mark.parametrize(
    "host",
    [
        "evil.example:8123",
        "localhost.evil.example:8123",
        "127.0.0.1.evil.example:8123",
        "[::1].evil.example:8123",
        "localhost:x@evil.example",
        "localhost:8123@evil.example",
        "evil.example:8123:8123",
        "192.168.0.9:8123",
        "0.0.0.0:8123",
        "localhost",
        "localhost:8124",
        "localhost:",
        "localhost:8123 ",
        "localhost:\N{ARABIC-INDIC DIGIT EIGHT}123",
        "[1]:8123",
        "1.2.3:8123",
        "",
        "x" * 5000,
    ],
)
def test_every_other_host_is_refused_even_for_reading(host: str) -> None:
    told = refusal("GET", {"host": host})
    assert told is not None
    assert "localhost:8123" in told
    assert len(told) < 250


def test_a_server_on_another_address_is_reached_by_that_address_too() -> None:
    assert refusal("GET", {"host": "192.168.0.9:8123"}, bound="192.168.0.9") is None
    assert refusal("GET", {"host": "build-machine:8123"}, bound="Build-Machine") is None
    assert refusal("GET", {"host": "192.168.0.8:8123"}, bound="192.168.0.9") is not None


@pytest.mark.parametrize("bound", ["0.0.0.0", "::"])
def test_a_server_on_all_addresses_is_reached_by_any_address_but_by_no_name(bound: str) -> None:
    # A container may map another port to it.
    for host in ("192.168.0.9:8123", "192.168.0.9:9000", "localhost:9000", "[fe80::1]:8123"):
        assert refusal("GET", {"host": host}, bound=bound) is None
    assert refusal("GET", {"host": "evil.example:8123"}, bound=bound) is not None


@pytest.mark.parametrize("body", [Body.ANY, Body.API])
@pytest.mark.parametrize("method", ["POST", "DELETE", "PUT", "PATCH", "BREW"])
def test_what_is_no_browser_may_change_things(method: str, body: Body) -> None:
    assert refusal(method, {"host": OURS}, body) is None
    assert refusal(method, {}, body) is None


@pytest.mark.parametrize("method", ["POST", "DELETE", "PUT", "PATCH", "BREW"])
@pytest.mark.parametrize(
    "said",
    [
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},  # another port of this machine
        {"sec-fetch-site": "none"},
        {"sec-fetch-site": ""},
        {"origin": "http://evil.example"},
        {"origin": "http://localhost:8124"},
        {"origin": "https://localhost:8123"},
        {"origin": "http://127.0.0.1:8123"},
        {"origin": "null"},
        {"origin": ""},
        {"origin": ORIGIN, "sec-fetch-site": "cross-site"},
        {"origin": "http://evil.example", "sec-fetch-site": "same-origin"},
    ],
)
def test_a_page_of_another_origin_changes_nothing(method: str, said: dict[str, str]) -> None:
    headers = {"host": OURS, "content-type": "application/json", **said}
    for body in Body:
        assert refusal(method, headers, body) is not None


def test_a_page_of_another_origin_may_ask_as_no_answer_is_readable_to_it() -> None:
    for method in ("GET", "HEAD", "OPTIONS"):
        assert refusal(method, {"host": OURS, "sec-fetch-site": "cross-site", "origin": "null"}) is None


def test_a_page_of_the_port_itself_changes_things() -> None:
    for said in ({"sec-fetch-site": "same-origin"}, {"origin": ORIGIN}, {"origin": ORIGIN.upper()}):
        assert refusal("POST", {"host": OURS, **said}) is None


def test_a_form_needs_an_origin_and_a_call_of_the_api_from_a_page_its_type() -> None:
    for said in ({}, {"sec-fetch-site": "same-origin"}):
        assert refusal("POST", {"host": OURS, **said}, Body.FORM) is not None
    page = {"host": OURS, "origin": ORIGIN, "sec-fetch-site": "same-origin"}
    assert refusal("POST", page, Body.FORM) is None
    for content_type in ("application/json", "Application/JSON; charset=utf-8", "application/x-protobuf"):
        assert refusal("POST", {**page, "content-type": content_type}, Body.API) is None
    for content_type in ("", "text/plain", "text/plain; application/json", "application/jsonp"):
        assert refusal("POST", {**page, "content-type": content_type}, Body.API) is not None
