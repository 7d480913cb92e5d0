"""Static files are served by the platform, and nothing outside their folder ever is."""

from __future__ import annotations

from datetime import timedelta
from email.utils import parsedate_to_datetime
from pathlib import Path

import pytest
from localcloud.frontend.identity import User

from tests.frontend.harness import FrontEnd


def test_a_file_is_served_with_what_app_yaml_says(front_end: FrontEnd) -> None:
    answer = front_end.request(path="/static/site.css")
    assert (answer.status, answer.body) == (200, b"body{}")
    assert answer.header("Content-Type") == "text/css"
    assert answer.header("Cache-Control") == "public, max-age=3600"
    assert answer.header("X-Colour") == "blue"
    assert answer.header("Last-Modified")
    until = parsedate_to_datetime(answer.header("Expires") or "")
    assert until - parsedate_to_datetime(answer.header("Date") or "") == timedelta(hours=1)
    assert (answer.header("Date") or "").endswith(" GMT")
    assert answer.header("Server") == "localcloud"
    assert front_end.instance().received == []


def test_a_type_that_nobody_knows_is_bytes(front_end: FrontEnd) -> None:
    assert front_end.request(path="/static/deep/x.bin").header("Content-Type") == "application/octet-stream"


def test_head_tells_the_length(front_end: FrontEnd) -> None:
    answer = front_end.request("HEAD", "/static/site.css")
    assert (answer.status, answer.header("Content-Length"), answer.body) == (200, "6", b"")


def test_what_the_client_has_is_not_sent_again(front_end: FrontEnd, folder: Path) -> None:
    first = front_end.request(path="/static/site.css")
    etag, changed = first.header("ETag") or "", first.header("Last-Modified") or ""
    for headers in (
        {"If-None-Match": etag},
        {"If-None-Match": f'"other", W/{etag}'},
        {"If-None-Match": "*"},
        {"If-Modified-Since": changed},
    ):
        answer = front_end.request(path="/static/site.css", headers=headers)
        assert (answer.status, answer.body, answer.header("ETag")) == (304, b"", etag)
    for stale in (
        {"If-None-Match": '"other"'},
        {"If-Modified-Since": "Thu, 01 Jan 1970 00:00:00 GMT"},
        {"If-Modified-Since": "yesterday"},
        {"If-None-Match": '"other"', "If-Modified-Since": changed},
    ):
        assert front_end.request(path="/static/site.css", headers=stale).status == 200
    (folder / "assets" / "site.css").write_text("body{color:red}")
    assert front_end.request(path="/static/site.css", headers={"If-None-Match": etag}).status == 200


@pytest.mark.parametrize(
    "path",
    [
        "/static/../main.py",
        "/static/..%2fmain.py",
        "/static/%2e%2e/main.py",
        "/static/%2e%2e%2f%2e%2e%2foutside.txt",
        "/static/deep/..%2f..%2fmain.py",
        "/static//etc/passwd",
        "/static/%2fetc/passwd",
        "/static/link.txt",
        "/static/site.css%00.png",
        "/static/..\\main.py",
        "/static/deep",
        "/static/",
        "/static/nothing.css",
        "/static/%ff",
        "/static/" + "a" * 5000,
    ],
)
def test_nothing_outside_a_static_folder_is_served(front_end: FrontEnd, path: str) -> None:
    answer = front_end.request("POST" if "/../" in path else "GET", path)
    assert answer.status in (302, 404, 405)
    assert b"SECRET" not in answer.body
    assert b"UNTOUCHABLE" not in answer.body
    assert front_end.instance().received == []


def test_a_static_file_behind_a_login_is_served_to_who_is_signed_in(front_end: FrontEnd) -> None:
    assert front_end.request(path="/private/note.txt").status == 302
    answer = front_end.request(path="/private/note.txt", user=User("ann@example.org", is_admin=False))
    assert (answer.status, answer.header("Content-Type")) == (200, "text/x-secret")


@pytest.mark.parametrize(
    "path",
    [
        "/private/note.key",
        "/private/%2e%2e/main.py",
        "/private/%2e%2e/notes.txt",
        "/private/..%2fnotes.txt",
        "/private/x/%2e%2e/%2e%2e/notes.txt",
    ],
)
def test_a_file_that_upload_does_not_name_is_not_there(front_end: FrontEnd, path: str) -> None:
    answer = front_end.request(path=path, user=User("ann@example.org", is_admin=False))
    assert answer.status == 404
    assert b"SECRET" not in answer.body


def test_a_static_file_can_only_be_read(front_end: FrontEnd) -> None:
    answer = front_end.request("POST", "/static/site.css", b"x")
    assert (answer.status, answer.header("Allow")) == (405, "GET, HEAD")


@pytest.mark.parametrize(
    "date",
    [
        "",
        "yesterday",
        "Mon, 01 Jan 99999999999999999999 00:00:00 GMT",
        "Mon, 01 Jan " + "9" * 5000 + " 00:00:00 GMT",
    ],
)
def test_a_date_that_is_none_is_overlooked(front_end: FrontEnd, date: str) -> None:
    assert front_end.request(path="/static/site.css", headers={"If-Modified-Since": date}).status == 200
