"""What reaches a service: the client's request, rewritten, with only what the client may say."""

from __future__ import annotations

from collections.abc import Callable

import gunicorn.config
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from localcloud.frontend.headers import RequestHeaders
from localcloud.frontend.identity import User
from localcloud.frontend.messages import Request
from localcloud.proxy_headers import is_proxys_word

from tests.frontend.harness import FrontEnd

ADMIN = User("boss@example.com", is_admin=True)
SOMEBODY = User("ann@example.org", is_admin=False)


def test_a_request_reaches_the_service_of_its_host(front_end: FrontEnd) -> None:
    assert front_end.request(path="/a?b=1").status == 200
    assert (
        front_end.request("POST", "/update-counter", b"x", host="worker.localhost", user=ADMIN).status == 200
    )
    assert front_end.instance("default").received[0].line == "GET /a?b=1 HTTP/1.1"
    worker = front_end.instance("worker").received[0]
    assert (worker.line, worker.body) == ("POST /update-counter HTTP/1.1", b"x")


def test_no_handler_means_404(front_end: FrontEnd) -> None:
    answer = front_end.request(path="/other", host="worker.localhost")
    assert answer.status == 404
    assert "'worker'" in answer.text
    assert front_end.instance("worker").received == []


def test_the_platforms_headers_are_added(front_end: FrontEnd) -> None:
    front_end.request(headers={"X-Forwarded-For": "1.2.3.4"})
    got = front_end.instance().received[0]
    assert got.values("X-Forwarded-For") == ["1.2.3.4, 127.0.0.1"]
    assert got.values("X-Forwarded-Proto") == ["http"]
    assert got.values("X-AppEngine-User-IP") == ["127.0.0.1"]
    assert got.values("X-AppEngine-Country") == ["ZZ"]
    assert got.values("X-AppEngine-Default-Version-Hostname") == ["localhost:8080"]
    assert len(got.values("X-AppEngine-Request-Log-Id")[0]) == 32
    assert got.values("X-AppEngine-User-Email") == []


def test_the_trace_is_the_clients_or_a_new_one_and_the_answer_names_it(front_end: FrontEnd) -> None:
    trace = "105445aa7843bc8bf206b12000100000/1;o=1"
    answer = front_end.request(headers={"X-Cloud-Trace-Context": trace})
    assert front_end.instance().received[0].values("X-Cloud-Trace-Context") == [trace]
    assert answer.header("X-Cloud-Trace-Context") == trace
    front_end.request()
    (fresh,) = front_end.instance().received[1].values("X-Cloud-Trace-Context")
    assert len(fresh.partition("/")[0]) == 32


@pytest.mark.parametrize(
    "name",
    [
        "X-AppEngine-QueueName",
        "x-appengine-queuename",
        "X-APPENGINE-TASKNAME",
        "X_AppEngine_TaskName",
        "X-AppEngine_TaskName",
        "x_appengine-user_is_admin",
        "X-AppEngine-User-Is-Admin",
        "X-Appengine-Cron",
        "X-AppEngine-Anything-New",
        "X-Google-Internal",
        "x_google_internal",
    ],
)
def test_an_outsiders_platform_headers_are_dropped_in_any_spelling(front_end: FrontEnd, name: str) -> None:
    front_end.request(headers={name: "forged", "X-Kept": "1"})
    got = front_end.instance().received[0]
    assert got.values(name) == []
    assert got.values("X-Kept") == ["1"]


def test_repeating_a_forged_header_does_not_help(front_end: FrontEnd) -> None:
    front_end.raw(
        b"GET / HTTP/1.1\r\nHost: localhost\r\nX-AppEngine-QueueName: a\r\nx-appengine-queuename: b\r\n"
        b"X_AppEngine_QueueName: c\r\nConnection: close, X-AppEngine-User-IP\r\n\r\n"
    )
    got = front_end.instance().received[0]
    assert got.values("X-AppEngine-QueueName") == []
    assert got.values("X-AppEngine-User-IP") == ["127.0.0.1"]


_SPELLING = st.tuples(
    st.sampled_from(["appengine", "google"]),
    st.text(alphabet="abcdefghijklmnopqrstuvwxyz-", min_size=1, max_size=12),
    st.lists(st.booleans(), min_size=24, max_size=24),
    st.lists(st.booleans(), min_size=24, max_size=24),
)


@given(_SPELLING)
@settings(suppress_health_check=[HealthCheck.too_slow])
def test_no_spelling_of_a_platform_header_survives(parts: tuple[str, str, list[bool], list[bool]]) -> None:
    family, rest, upper, underscore = parts
    plain = f"x-{family}-{rest}"
    name = "".join(
        "_" if character == "-" and underscore[i % 24] else character.upper() if upper[i % 24] else character
        for i, character in enumerate(plain)
    )
    request = Request(b"GET", b"/", [(b"Host", b"localhost"), (name.encode(), b"forged")], b"", "127.0.0.1")
    head, _ = RequestHeaders("localhost").head(request, None)
    assert b"forged" not in head


def test_an_administrators_task_headers_pass(front_end: FrontEnd) -> None:
    task = {"X-AppEngine-TaskName": "t1", "X-AppEngine-QueueName": "q", "X-AppEngine-TaskRetryCount": "0"}
    front_end.request("POST", "/update-counter", b"", host="worker.localhost", user=ADMIN, headers=task)
    got = front_end.instance("worker").received[0]
    assert [got.values(name) for name in task] == [["t1"], ["q"], ["0"]]


def test_not_even_an_administrator_speaks_for_somebody_else(front_end: FrontEnd) -> None:
    forged = {
        "X-AppEngine-User-Email": "other@example.com",
        "X_AppEngine_User_Email": "other@example.com",
        "X_AppEngine_TaskName": "t1",
        "X-Google-Thing": "1",
    }
    front_end.request(user=ADMIN, headers=forged)
    got = front_end.instance().received[0]
    assert got.values("X-AppEngine-User-Email") == ["boss@example.com"]
    assert got.values("X-AppEngine-TaskName") == []
    assert got.values("X-Google-Thing") == []


def test_a_plain_users_task_headers_are_dropped(front_end: FrontEnd) -> None:
    front_end.request(user=SOMEBODY, headers={"X-AppEngine-TaskName": "t1"})
    assert front_end.instance().received[0].values("X-AppEngine-TaskName") == []


def test_headers_meant_for_one_hop_are_not_passed_on(front_end: FrontEnd) -> None:
    front_end.raw(
        b"POST / HTTP/1.1\r\nHost: localhost\r\nTE: trailers\r\nKeep-Alive: 5\r\nX-Hop: 1\r\n"
        b"Proxy-Authorization: x\r\nTransfer-Encoding: chunked\r\nConnection: close, X-Hop\r\n\r\n"
        b"3\r\nabc\r\n0\r\nX-Trailer: 1\r\n\r\n"
    )
    got = front_end.instance().received[0]
    assert got.body == b"abc"
    assert got.values("Content-Length") == ["3"]
    for name in ("TE", "Keep-Alive", "X-Hop", "Proxy-Authorization", "Transfer-Encoding", "X-Trailer"):
        assert got.values(name) == []


def test_cookies_and_repeated_headers_are_kept_in_order(front_end: FrontEnd) -> None:
    front_end.raw(b"GET / HTTP/1.1\r\nHost: localhost\r\nX-A: 1\r\nX-A: 2\r\nCookie: a=b\r\n\r\n")
    got = front_end.instance().received[0]
    assert got.values("X-A") == ["1", "2"]
    assert got.values("Cookie") == ["a=b"]


@pytest.mark.parametrize("host", ["evil.example", "localhost.evil.example", "192.168.1.7:8080"])
def test_a_foreign_host_name_is_refused_because_it_may_be_dns_rebinding(
    front_end: FrontEnd, host: str
) -> None:
    assert front_end.request(host=host).status == 403
    assert front_end.request(path="/_ah/login", host=host).status == 403
    assert front_end.instance().received == []


def test_a_path_with_dots_is_redirected_to_its_normal_form(front_end: FrontEnd) -> None:
    assert front_end.request(path="/x/../admin?a=1").header("Location") == "/admin?a=1"
    assert front_end.request(path="//evil.example/..").header("Location") == "/"
    assert front_end.request(path="//evil.example").header("Location") == "/evil.example"
    assert front_end.request(path="/a/./b//c/").header("Location") == "/a/b/c/"
    assert front_end.request(path="/.well-known/x").status == 200


def test_an_encoded_path_meets_the_same_handler_as_the_plain_one(front_end: FrontEnd) -> None:
    assert front_end.request(path="/%61dmin").status == 302
    assert front_end.request("POST", "/%61dmin/tasks", b"x").status == 302
    assert front_end.instance().received == []


@pytest.mark.parametrize(
    "name",
    [
        "SCRIPT_NAME",
        "Script_Name",
        "PATH_INFO",
        "REMOTE_USER",
        "X_Real_IP",
        "X-Real_IP",
        "Any_Thing",
        "_",
        "X-Real-IP",
        "X-Forwarded-SSL",
        "X-Forwarded-Protocol",
        "x-forwarded-host",
        "X-Forwarded-Anything",
        "X-Forwarded",
        "Forwarded",
        "Front-End-Https",
        "X-Scheme",
        "X-Url-Scheme",
        "X-Script-Name",
        "X-Original-URL",
        "X-Rewrite-URL",
        "Remote-User",
        "X-Client-IP",
        "True-Client-IP",
        "Proxy",
    ],
)
@pytest.mark.parametrize("user", [None, SOMEBODY, ADMIN])
def test_what_a_server_takes_for_its_proxys_word_is_dropped(
    front_end: FrontEnd, name: str, user: User | None
) -> None:
    assert front_end.request(headers={name: "/forged", "X-Kept": "1"}, user=user).status == 200
    got = front_end.instance().received[0]
    assert got.values(name) == []
    assert got.values("X-Kept") == ["1"]


def test_gunicorn_believes_no_other_header() -> None:
    """Its own defaults say which headers it takes for its proxy's word; a new one would be found here."""
    config = gunicorn.config.Config()
    for name in (*config.secure_scheme_headers, *config.forwarder_headers):
        assert is_proxys_word(name.lower().encode()), name


@pytest.mark.parametrize(
    ("target", "location"),
    [("/a//b", "/a/b"), ("/\\evil.example//x", "/%5Cevil.example/x"), ("//evil.example", "/evil.example"),
     ("/\\evil.example/./x", "/%5Cevil.example/x"), ("///evil.example/..", "/")],
)  # fmt: skip
def test_a_path_is_made_normal_within_this_origin(front_end: FrontEnd, target: str, location: str) -> None:
    sent = f"GET {target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode("latin-1")
    assert f"\r\nLocation: {location}\r\n".encode() in front_end.raw(sent)


@pytest.mark.parametrize("host", ["localhost:x@evil.example", "[::1].evil.example", "a b", "x:1:2", "evil/"])
def test_what_is_no_host_is_refused_even_where_any_host_may_come(
    start_front_end: Callable[..., FrontEnd], host: str
) -> None:
    front_end = start_front_end(allows_any_host=True)
    assert front_end.request(host=host).status == 400
    assert front_end.instance().received == []
    assert front_end.request(host="laptop.example:8080").status == 200
