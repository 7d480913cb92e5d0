"""Signing in: the page, the cookie, and who passes a handler with `login:`."""

from __future__ import annotations

import stat
from pathlib import Path
from urllib.parse import quote, urlencode

import pytest
from localcloud.frontend.identity import COOKIE_NAME, Sessions, User, load_secret

from tests.frontend.harness import Answer, FrontEnd

ADMIN = User("boss@example.com", is_admin=True)
SOMEBODY = User("ann@example.org", is_admin=False)
FORM = {"Content-Type": "application/x-www-form-urlencoded"}


def sign_in(front_end: FrontEnd, from_page: dict[str, str] | None = None, /, **fields: str) -> Answer:
    body = urlencode({"email": "ann@example.org", **fields}).encode()
    return front_end.request("POST", "/_ah/login", body, headers={**FORM, **(from_page or {})})


def cookie_of(answer: Answer) -> str:
    header = answer.header("Set-Cookie")
    assert header is not None
    return header.partition(";")[0]


def test_the_page_asks_for_an_address_and_leads_back(front_end: FrontEnd) -> None:
    answer = front_end.request(path="/_ah/login?continue=/admin")
    assert answer.status == 200
    assert 'name="email"' in answer.text
    assert 'name="admin"' in answer.text
    assert 'name="continue" value="/admin"' in answer.text
    assert front_end.instance().received == []


def test_signing_in_sets_a_cookie_and_leads_back(front_end: FrontEnd) -> None:
    answer = sign_in(front_end, **{"continue": "/mine?x=1", "admin": "True"})
    assert (answer.status, answer.header("Location")) == (303, "/mine?x=1")
    cookie = answer.header("Set-Cookie") or ""
    assert "HttpOnly" in cookie
    assert "SameSite=Lax" in cookie
    assert front_end.request(path="/admin", headers={"Cookie": cookie_of(answer)}).status == 200


def test_a_service_sees_who_is_signed_in(front_end: FrontEnd) -> None:
    front_end.request(path="/mine", user=SOMEBODY)
    got = front_end.instance().received[0]
    assert got.values("X-AppEngine-User-Email") == ["ann@example.org"]
    assert got.values("X-AppEngine-User-Nickname") == ["ann"]
    assert got.values("X-AppEngine-User-Organization") == ["example.org"]
    assert got.values("X-AppEngine-User-Is-Admin") == ["0"]
    assert got.values("X-AppEngine-Auth-Domain") == ["gmail.com"]
    (user_id,) = got.values("X-AppEngine-User-Id")
    assert user_id.isdecimal()
    assert len(user_id) == 21
    front_end.request(path="/mine", user=ADMIN)
    assert front_end.instance().received[1].values("X-AppEngine-User-Is-Admin") == ["1"]


def test_the_user_id_is_the_dev_servers() -> None:
    # 1, then the first 20 digits of the md5 of the address, each byte with at least two digits.
    assert User("Test@Example.com", is_admin=False).user_id == "185804764220139124118"


@pytest.mark.parametrize("path", ["/admin", "/admin/tasks", "/mine", "/private/note.txt"])
def test_who_is_not_signed_in_is_led_to_the_page(front_end: FrontEnd, path: str) -> None:
    answer = front_end.request(path=f"{path}?a=b")
    assert answer.status == 302
    url = f"http://localhost:{front_end.port}{path}?a=b"
    assert answer.header("Location") == f"/_ah/login?continue={quote(url, safe='')}"
    assert front_end.instance().received == []


def test_auth_fail_action_unauthorized_says_401(front_end: FrontEnd) -> None:
    assert front_end.request(path="/api/mine").status == 401
    assert front_end.request(path="/api/mine", user=SOMEBODY).status == 200


def test_a_plain_user_is_no_administrator(front_end: FrontEnd) -> None:
    answer = front_end.request(path="/admin", user=SOMEBODY)
    assert answer.status == 401
    assert "ann@example.org" in answer.text
    assert front_end.instance().received == []
    assert front_end.request(path="/admin", user=ADMIN).status == 200


def test_an_outsiders_task_is_led_away_and_never_delivered(front_end: FrontEnd) -> None:
    answer = front_end.request(
        "POST",
        "/update-counter",
        b"counter=a",
        host="worker.localhost",
        headers={"X-AppEngine-QueueName": "q"},
    )
    assert answer.status == 302
    assert front_end.instance("worker").received == []


@pytest.mark.parametrize(
    "value",
    [
        "",
        "x",
        "x.y",
        ".",
        "test@example.com:True:185804764220139124118",
        "YWRtaW46OTk5OTk5OTk5OTpib3NzQGV4YW1wbGUuY29t.0000",
        "\xe9.\xe9",
    ],
)
def test_a_cookie_that_was_not_issued_here_is_nothing(front_end: FrontEnd, value: str) -> None:
    headers = {"Cookie": f"{COOKIE_NAME}={value}; dev_appserver_login=a@b.c:True:1"}
    assert front_end.request(path="/admin", headers=headers).status == 302


def test_a_few_cookies_are_looked_at_not_thousands(front_end: FrontEnd) -> None:
    """A browser may send one for each path; each costs a signature to check."""
    good = f"{COOKIE_NAME}={front_end.sessions.issue(SOMEBODY)}"
    for junk, status in ((3, 200), (4, 302)):
        cookies = "; ".join([f"{COOKIE_NAME}=x.y"] * junk + [good])
        assert front_end.request(path="/mine", headers={"Cookie": cookies}).status == status


def test_a_changed_cookie_is_nothing(front_end: FrontEnd) -> None:
    value = front_end.sessions.issue(SOMEBODY)
    other = Sessions(b"another key" * 4).issue(ADMIN)
    for forged in (value[:-1] + ("0" if value[-1] != "0" else "1"), "A" + value[1:], other):
        assert front_end.sessions.read(forged) is None


def test_a_cookie_ends_after_thirty_days() -> None:
    now = [1_000_000.0]
    sessions = Sessions(b"k" * 32, clock=lambda: now[0])
    value = sessions.issue(ADMIN)
    now[0] += 30 * 24 * 3600 - 1
    assert sessions.read(value) == ADMIN
    now[0] += 2
    assert sessions.read(value) is None


def test_the_key_is_kept_for_the_owner_alone(tmp_path: Path) -> None:
    file = tmp_path / "login-key"
    secret = load_secret(file)
    assert load_secret(file) == secret
    assert len(secret) == 32
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert load_secret(tmp_path / "other") != secret


@pytest.mark.parametrize("email", ["", "ann", "a b@example.com", "a@b\r\nX-Evil: 1", "é@example.com", "a@"])
def test_what_is_no_address_is_not_taken(front_end: FrontEnd, email: str) -> None:
    answer = sign_in(front_end, email=email)
    assert answer.status == 400
    assert answer.header("Set-Cookie") is None


@pytest.mark.parametrize(
    "elsewhere",
    [
        "https://evil.example/",
        "//evil.example",
        "///evil.example/x",
        "////evil.example",
        "javascript:alert(1)",
        "/\\evil.example",
        "/\t/evil.example",
        "\t//evil.example",
        " //evil.example",
        "/x\\..\\y",
        "/x\x7f",
        "/x y",
        "http://localhost@evil.example/",
        "http://evil.example:80@localhost/",
        "http://localhost:x@evil.example/",
        "http://anything.appspot.com/",
        "https://evil.r.appspot.com",
        "http://[::1].evil.example/",
        "http://[::1]evil.example/",
        "http://localhost.evil.example/",
        "http://evil.example#.localhost",
        "http://evil.example?.localhost",
        "http://evil.example%2f.localhost/",
        "http://evil.example\uff0f.localhost",
        "http:\\\\evil.example",
        "http:evil.example",
        "http:///evil.example",
        "http://localhost:1/",
        "http://localhost/",
        "HTTP://evil.example/",
        "/x\r\nSet-Cookie: a=b",
        "",
        "http://",
        "http://[bad",
        "x",
        "?x",
        "#x",
    ],
)
def test_signing_in_leads_nowhere_else(front_end: FrontEnd, elsewhere: str) -> None:
    answer = sign_in(front_end, **{"continue": elsewhere})
    assert (answer.status, answer.header("Location")) == (303, "/")
    shown = front_end.request(path=f"/_ah/login?{urlencode({'continue': elsewhere})}")
    assert 'name="continue" value="/"' in shown.text
    out = front_end.request(path=f"/_ah/logout?{urlencode({'continue': elsewhere})}", user=ADMIN)
    assert (out.status, out.header("Location")) == (302, "/")


@pytest.mark.parametrize("host", ["localhost", "worker.localhost", "127.0.0.1", "[::1]"])
def test_signing_in_leads_back_to_another_service_of_this_front_end(front_end: FrontEnd, host: str) -> None:
    url = f"http://{host}:{front_end.port}/update-counter?a=/b"
    assert sign_in(front_end, **{"continue": url}).header("Location") == url


def test_what_a_redirect_names_is_encoded(front_end: FrontEnd) -> None:
    assert sign_in(front_end, **{"continue": "/caf\xe9?a=%20"}).header("Location") == "/caf%C3%A9?a=%20"


def test_the_page_writes_nothing_unescaped(front_end: FrontEnd) -> None:
    answer = front_end.request(path='/_ah/login?continue=/"><script>alert(1)</script>')
    assert "<script>" not in answer.text


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://localhost:1"},
        {"Origin": "http://["},
        {"Origin": "https://localhost"},
        {"Origin": "http://x@localhost"},
        {"Origin": ""},
    ],
)
def test_a_page_of_another_origin_signs_nobody_in_or_out(
    front_end: FrontEnd, headers: dict[str, str]
) -> None:
    assert sign_in(front_end, headers, admin="True").status == 403
    out = front_end.request("POST", "/_ah/logout", b"", headers={**FORM, **headers}, user=ADMIN)
    assert (out.status, out.header("Set-Cookie")) == (403, None)


def test_the_page_itself_may(front_end: FrontEnd) -> None:
    assert sign_in(front_end, {"Sec-Fetch-Site": "same-origin"}).status == 303
    assert sign_in(front_end, {"Origin": f"http://localhost:{front_end.port}"}).status == 303


def test_signing_out_takes_the_cookie_away(front_end: FrontEnd) -> None:
    for method in ("GET", "POST"):
        answer = front_end.request(
            method, "/_ah/logout?continue=/bye", b"" if method == "POST" else None, user=ADMIN
        )
        assert answer.header("Location") == "/bye"
        assert "Max-Age=0" in (answer.header("Set-Cookie") or "")


def test_a_link_elsewhere_does_not_sign_out(front_end: FrontEnd) -> None:
    answer = front_end.request(path="/_ah/logout", user=ADMIN, headers={"Sec-Fetch-Site": "cross-site"})
    assert (answer.status, answer.header("Set-Cookie")) == (200, None)


def test_the_login_page_knows_three_methods(front_end: FrontEnd) -> None:
    answer = front_end.request("DELETE", "/_ah/login")
    assert (answer.status, answer.header("Allow")) == (405, "GET, HEAD, POST")
