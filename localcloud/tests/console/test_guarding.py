"""Nothing from another site gets in, and nothing on the pages runs that is not the console's."""

from __future__ import annotations

import re
import socket

import pytest
from localcloud.console.application import ROUTES
from localcloud.console.datastore import Datastore
from localcloud.console.keys import Database
from localcloud.console.pages import FOLDER
from localcloud.datastore import messages as m

from tests.console.entities import entity
from tests.console.visitor import Visitor

FORM = {"Content-Type": "application/x-www-form-urlencoded"}
POST = "POST /data/new HTTP/1.1\r\nHost: HOST\r\nOrigin: http://HOST\r\n"
GET_ROUTES = sorted(route.partition(" ")[2] for route in ROUTES if route.startswith("GET "))
POST_ROUTES = sorted(route.partition(" ")[2] for route in ROUTES if route.startswith("POST "))


def token_of(visitor: Visitor) -> str:
    fields = visitor.get("/data/import").form("/data/import").fields
    return next(value for name, value in fields if name == "token")


@pytest.mark.parametrize("host", ["evil.example", "evil.example:80", "127.0.0.1", "localhost:1", ""])
def test_another_host_name_is_refused(visitor: Visitor, host: str) -> None:
    page = visitor.send("GET", "/data", headers={"Host": host})

    assert page.status == 403
    assert "Kind" not in page.text


@pytest.mark.parametrize("path", POST_ROUTES)
@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site", "Origin": "OWN"},
        {"Sec-Fetch-Site": "same-site", "Origin": "OWN"},
        {},
    ],
)
def test_a_change_that_comes_from_elsewhere_is_refused(
    visitor: Visitor, path: str, headers: dict[str, str]
) -> None:
    sent = {**FORM, **{name: value.replace("OWN", visitor.url) for name, value in headers.items()}}
    body = f"token={token_of(visitor)}".encode()

    assert visitor.send("POST", path, body, sent).status == 403


@pytest.mark.parametrize("path", POST_ROUTES)
@pytest.mark.parametrize("body", [b"", b"token=", b"token=guess", b"token=%C3%A4"])
def test_a_change_without_the_pages_token_is_refused(visitor: Visitor, path: str, body: bytes) -> None:
    page = visitor.send("POST", path, body, {**FORM, "Origin": visitor.url})

    assert page.status == 403
    assert "nothing was changed" in page.message


def test_a_refused_deletion_deletes_nothing(visitor: Visitor, datastore: Datastore, where: Database) -> None:
    datastore.upsert_all([entity(where, "T", 1)])
    body = f"kind=T&typed=T&token={token_of(visitor)}".encode()

    refused = visitor.send("POST", "/data/delete-kind", body, {**FORM, "Origin": "http://evil.example"})
    assert refused.status == 403
    assert datastore.count(where, m.Query(kind=[{"name": "T"}])) == 1

    done = visitor.send("POST", "/data/delete-kind", body, {**FORM, "Origin": visitor.url})
    assert done.status == 303
    assert datastore.count(where, m.Query(kind=[{"name": "T"}])) == 0


@pytest.mark.parametrize("path", [*GET_ROUTES, "/nowhere", "/static/console.css", "/static/console.js"])
def test_every_answer_has_a_policy_that_lets_nothing_foreign_in(visitor: Visitor, path: str) -> None:
    page = visitor.send("GET", path)

    policy = page.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert page.headers["x-content-type-options"] == "nosniff"


def test_no_page_holds_script_or_style_of_its_own() -> None:
    for template in (FOLDER / "templates").iterdir():
        text = template.read_text()
        assert not re.search(r"<style|\sstyle=|\son[a-z]+=|javascript:|<script(?! src=)", text), template.name


def test_another_site_may_link_to_it_but_load_nothing_from_it(visitor: Visitor) -> None:
    cross_site = {"Sec-Fetch-Site": "cross-site"}

    for destination in ("image", "script", "iframe", "empty"):
        headers = {**cross_site, "Sec-Fetch-Dest": destination}
        assert visitor.send("GET", "/data/export", headers=headers).status == 403
    followed = visitor.send("GET", "/data", headers={**cross_site, "Sec-Fetch-Dest": "document"})
    assert followed.status == 200


@pytest.mark.parametrize("path", POST_ROUTES)
def test_no_get_changes_anything(visitor: Visitor, path: str) -> None:
    page = visitor.send("GET", f"{path}?token={token_of(visitor)}&kind=T&typed=T&action=pause")

    assert page.status != 303


def test_a_head_request_has_no_body(visitor: Visitor) -> None:
    page = visitor.send("HEAD", "/data")

    assert (page.status, page.text) == (200, "")
    assert int(page.headers["content-length"]) > 0


@pytest.mark.parametrize("path", ["/static/../pages.py", "/static/%2e%2e/pages.py", "/nowhere", "/data/"])
def test_there_is_nothing_else(visitor: Visitor, path: str) -> None:
    assert visitor.send("GET", path).status == 404


@pytest.mark.parametrize(
    "request_text",
    [
        "GET /data HTTP/1.1\r\n\r\n",
        "GET /data HTTP/1.1\r\nHost: HOST\r\nHost: HOST\r\n\r\n",
        "GET http://evil.example/ HTTP/1.1\r\nHost: HOST\r\n\r\n",
        "GET /data?a=%ff HTTP/1.1\r\nHost: HOST\r\n\r\n",
        f"{POST}Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        f"{POST}Content-Length: -5\r\n\r\n",
        f"{POST}Content-Length: 99999999999\r\n\r\n",
        "DELETE /data HTTP/1.1\r\nHost: HOST\r\n\r\n",
        "nonsense\r\n\r\n",
    ],
)
def test_malformed_requests_are_refused(visitor: Visitor, request_text: str) -> None:
    host, _, port = visitor.address.rpartition(":")
    with socket.create_connection((host, int(port)), timeout=10) as connection:
        connection.sendall(request_text.replace("HOST", visitor.address).encode())
        answer = connection.recv(4096).decode()

    assert re.search(r"HTTP/1\.[01] (4\d\d|501) |Error code: 400", answer), answer
