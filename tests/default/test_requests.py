"""Requests that are no use, and what every answer carries."""

from __future__ import annotations

import encodings
import subprocess
import sys
from io import BytesIO
from pathlib import Path
from typing import Any
from wsgiref.util import setup_testing_defaults

import pytest

from counters.update_counter import UpdateCounter
from default.application import create_application
from tests.default.conftest import ADA, DefaultClient

ROOT = Path(__file__).parents[2]

HTML = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}


def test_an_unknown_route_is_a_404_problem(default: DefaultClient) -> None:
    answer = default.get("/nothing/here")
    assert answer.status == 404
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert (answer.json["title"], answer.json["field"], answer.json["value"]) == (
        "Not Found",
        "path",
        "/nothing/here",
    )


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("GET", "/api/counters/visits/increments", "POST"),
        ("PUT", "/api/counters", "GET, HEAD"),
        ("DELETE", "/", "GET, HEAD"),
    ],
)
def test_a_wrong_method_is_a_405_that_names_the_right_ones(
    default: DefaultClient, method: str, path: str, allowed: str
) -> None:
    answer = default.request(method, path)
    assert (answer.status, answer.json["field"], answer.json["value"]) == (405, "method", method)
    assert answer.headers["Allow"] == allowed


def test_people_get_errors_as_a_page(default: DefaultClient) -> None:
    answer = default.get("/<b>nothing</b>", HTML)
    assert answer.status == 404
    assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
    assert "<h1>Not Found</h1>" in answer.text
    assert "<b>nothing</b>" not in answer.text


@pytest.mark.parametrize(
    ("wsgi", "field"),
    [
        ({"PATH_INFO": "/\xff"}, "path"),
        ({"QUERY_STRING": "prefix=%ff"}, "query string"),
        ({"QUERY_STRING": "prefix=\xff"}, "query string"),
        ({"CONTENT_TYPE": "application/json; charset=martian"}, "Content-Type"),
        ({"CONTENT_TYPE": "multipart/form-data"}, "Content-Type"),
        ({"CONTENT_TYPE": "multipart/form-data; boundary="}, "Content-Type"),
        ({"CONTENT_LENGTH": "5", "wsgi.input": BytesIO(b"ab")}, "body"),
    ],
)
def test_a_request_that_can_not_be_read_is_a_400(
    default: DefaultClient, wsgi: dict[str, Any], field: str
) -> None:
    answer = default.request("POST", "/counters/increments", wsgi=wsgi)
    assert answer.status == 400
    assert (answer.json["field"], bool(answer.json["expected"])) == (field, True)


def test_a_body_over_the_limit_is_a_413(environ: dict[str, str], database: object) -> None:
    default = DefaultClient({**environ, "COUNTER_MOST_BODY_BYTES": "1024"})
    answer = default.post_json("/api/counters/a/increments", b" " * 1025)
    assert (answer.status, answer.json["field"]) == (413, "body")
    chunked = {"wsgi.input": BytesIO(b" " * 5000), "wsgi.input_terminated": True}
    answer = default.request("POST", "/api/increments", headers={"Content-Type": "text/plain"}, wsgi=chunked)
    assert answer.status == 413


def test_a_chunked_body_is_read_to_its_end(default: DefaultClient, name: str) -> None:
    answer = default.request(
        "POST",
        f"/api/counters/{name}/increments",
        headers={"Content-Type": "application/json"},
        wsgi={"wsgi.input": BytesIO(b'{"amount": 4}'), "wsgi.input_terminated": True},
    )
    assert (answer.status, answer.json["amount"]) == (202, 4)


@pytest.mark.parametrize("path", ["/", "/live", "/api/counters", "/nope", "/admin", "/_ah/warmup"])
def test_every_answer_carries_the_security_headers(default: DefaultClient, path: str) -> None:
    for headers in (None, ADA, HTML):
        answer = default.get(path, headers)
        assert answer.headers["Content-Security-Policy"] == (
            "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
            "connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
        )
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Referrer-Policy"] == "same-origin"
        assert answer.headers["Cache-Control"] == "no-store"


def test_warm_up_opens_the_connections(default: DefaultClient) -> None:
    for path in ("/_ah/warmup", "/_ah/start"):
        answer = default.get(path)
        assert (answer.status, answer.text) == (200, "warm\n")


def test_a_queue_that_does_not_exist_fails_the_warm_up_with_one_sentence(
    environ: dict[str, str], database: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(UpdateCounter, "queues", ("counter-updates-0", "nowhere"))
    default = DefaultClient(environ)
    answer = default.get("/_ah/warmup")
    assert answer.status == 500
    assert answer.headers["Content-Type"].startswith("text/plain")
    told = answer.text.splitlines()[0]
    assert told.startswith("UpdateCounter.queues")
    assert "'nowhere', which does not exist. Expected a queue of queue.yaml" in told


def test_a_setting_that_can_not_be_used_stops_the_program_with_a_sentence() -> None:
    environ = {"GOOGLE_CLOUD_PROJECT": "p", "COUNTER_SHARDS": "many"}
    ended = subprocess.run(
        [sys.executable, "-c", "import default.main"], env=environ, cwd=ROOT, capture_output=True, text=True
    )
    assert ended.returncode == 4
    told = "COUNTER_SHARDS is 'many'. Expected a whole number from 1 to 128 (default 4)."
    assert ended.stderr == f"default: {told}\n"


def test_nothing_is_sent_before_the_first_request(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATASTORE_EMULATOR_HOST", "127.0.0.1:1")
    # Nobody listens there: a connection or a look-up at import would fail, or wait.
    create_application(
        {"GOOGLE_CLOUD_PROJECT": "p", "CLOUD_TASKS_EMULATOR_HOST": "127.0.0.1:1", "GAE_ENV": "standard"}
    )


@pytest.mark.parametrize(
    "parameters",
    [
        "charset={}",
        "charset*={}''x",
        'a=b; CharSet="{}"',
        "boundary*={}''b",
        "boundary*0*={}''b",
        "boundary=b; charset={}",
    ],
)
def test_charsets_that_outsiders_name_are_not_looked_up(
    environ: dict[str, str], database: object, name: str, parameters: str
) -> None:
    """Python keeps every name that it was ever asked for."""
    default = DefaultClient({**environ, "COUNTER_API_ACCESS": "key", "COUNTER_API_KEYS": "k" * 16})
    open_to_all = DefaultClient(environ)
    before = set(encodings._cache)
    for kind in (
        "application/json",
        "application/x-www-form-urlencoded",
        "multipart/form-data",
        "text/plain",
        "a/b",
    ):
        content_type = f"{kind}; {parameters.format(name)}"
        for client in (default, open_to_all):
            for method, path in (
                ("GET", "/api/counters/x"),
                ("GET", "/"),
                ("POST", "/api/counters/x/increments"),
                ("POST", "/api/increments"),
                ("POST", "/counters/increments"),
                ("POST", "/admin/queues/counter-updates-0/pause"),
                ("POST", "/nowhere"),
                ("PUT", "/api/counters"),
            ):
                body = b"--b\r\nContent-Disposition: form-data; name*=%b''x\r\n\r\n1\r\n--b--\r\n"
                headers = {"Content-Type": content_type}
                answer = client.request(method, path, body % name.encode(), headers)
                assert answer.status < 500
    assert set(encodings._cache) == before


@pytest.mark.parametrize("charset", ["punycode", "utf-7", "utf-16", "idna", "zip", "undefined", "\xff", ""])
def test_only_a_few_charsets_are_taken(default: DefaultClient, name: str, charset: str) -> None:
    headers = {"Content-Type": f"application/json; charset={charset}"}
    answer = default.request("POST", f"/api/counters/{name}/increments", b"{" + b"x-" * 130_000, headers)
    assert (answer.status, answer.json["field"]) == (400, "Content-Type")


@pytest.mark.parametrize("charset", ["utf-8", "UTF8", "us-ascii", "ascii", '"ISO-8859-1"', "latin1"])
def test_the_usual_charsets_are_taken(default: DefaultClient, name: str, charset: str) -> None:
    headers = {"Content-Type": f"application/json; charset={charset}"}
    answer = default.request("POST", f"/api/counters/{name}/increments", b'{"amount": 1}', headers)
    assert answer.status == 202


@pytest.mark.parametrize(
    ("length", "status"), [("9" * 5000, 413), ("262145", 413), ("-1", 400), ("\xb2", 400), ("1e3", 400)]
)
def test_a_length_that_is_no_number_or_too_large_is_refused(
    environ: dict[str, str], database: object, length: str, status: int
) -> None:
    # Past the client's check against WSGI, by which a server gives whole numbers.
    request: dict[str, Any] = {"REQUEST_METHOD": "POST", "PATH_INFO": "/api/increments"}
    setup_testing_defaults(request)
    request["CONTENT_LENGTH"] = length
    answers: list[str] = []
    create_application(environ)(request, lambda line, *_: answers.append(line))  # type: ignore[arg-type]
    assert [int(line.split()[0]) for line in answers] == [status]
