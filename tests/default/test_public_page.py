"""The public page, as it works without script."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from tests.default.conftest import DefaultClient


def _key(page: str, name: str | None = None) -> str:
    """The hidden key of a counter's + button, or of the form below."""
    wanted = rf'action="/counters/{name}/increments".*?' if name else 'action="/counters/increments".*?'
    found = re.search(wanted + r'name="key" value="([^"]+)"', page, re.S)
    assert found
    return found.group(1)


def test_a_form_starts_a_counter_and_leads_back_to_a_page_that_shows_it_arrive(
    default: DefaultClient, name: str, wait_for_state: Callable[[str, str], Any]
) -> None:
    key = _key(default.get("/").text)
    answer = default.post_form("/counters/increments", {"counter": f" {name} ", "amount": "7", "key": key})
    assert answer.status == 303
    back = urlsplit(answer.headers["Location"])
    assert (back.scheme, back.netloc, back.path) == ("", "", "/")
    wait_for_state(parse_qs(back.query)["task"][0], "applied")
    page = default.get(answer.headers["Location"]).text
    assert f"<b>{name}</b> is now <b" in page
    assert ">7</b>" in page


def test_a_counter_just_changed_stays_in_sight_among_more_than_a_page_shows(
    default: DefaultClient, name: str, wait_for_state: Callable[[str, str], Any]
) -> None:
    earlier = [f"{name}-{number:02d}" for number in range(20)]
    increments = [{"counter": each, "amount": 1} for each in earlier]
    task = default.post_json("/api/increments", {"increments": increments}).json["task"]
    wait_for_state(task, "applied")
    fields = {"counter": f"{name}-last", "amount": "3", "key": name, "prefix": name}
    answer = default.post_form("/counters/increments", fields)
    wait_for_state(parse_qs(urlsplit(answer.headers["Location"]).query)["task"][0], "applied")
    shown = re.findall(r'data-value="([^"]+)"', default.get(answer.headers["Location"]).text)
    assert shown == [f"{name}-last", *earlier]


def test_the_plus_button_adds_one(
    default: DefaultClient, name: str, wait_for_state: Callable[[str, str], Any]
) -> None:
    task = default.post_json(f"/api/counters/{name}/increments", {"amount": 1}).json["task"]
    wait_for_state(task, "applied")
    page = default.get(f"/?prefix={name}").text
    fields = {"key": _key(page, name), "amount": "1", "prefix": name}
    answer = default.post_form(f"/counters/{name}/increments", fields)
    query = parse_qs(urlsplit(answer.headers["Location"]).query)
    assert (query["prefix"], query["was"]) == ([name], ["enqueued"])
    wait_for_state(query["task"][0], "applied")
    assert default.get(f"/api/counters/{name}").json["value"] == 2


def test_a_form_sent_twice_counts_once_and_says_so(
    default: DefaultClient, name: str, wait_for_state: Callable[[str, str], Any]
) -> None:
    fields = {"counter": name, "amount": "1", "key": _key(default.get("/").text)}
    first = default.post_form("/counters/increments", fields)
    wait_for_state(parse_qs(urlsplit(first.headers["Location"]).query)["task"][0], "applied")
    second = default.post_form("/counters/increments", fields)
    assert "was not counted again" in default.get(second.headers["Location"]).text
    assert default.get(f"/api/counters/{name}").json["value"] == 1


def test_the_page_and_its_part_alone_show_the_same_counters(
    default: DefaultClient, name: str, wait_for_state: Callable[[str, str], Any]
) -> None:
    task = default.post_json(f"/api/counters/{name}/increments", {"amount": 1234567}).json["task"]
    wait_for_state(task, "applied")
    part = default.get(f"/live?prefix={name}").text
    assert f'data-value="{name}">1\N{NARROW NO-BREAK SPACE}234\N{NARROW NO-BREAK SPACE}567<' in part
    assert "<html" not in part
    assert "<html" in default.get("/").text


def test_what_the_address_says_is_shown_as_text(default: DefaultClient) -> None:
    for path in (
        "/?prefix=<script>alert(1)</script>",
        "/?task=x&counter=<b>&was=duplicate",
        "/?cursor=<i>",
        "/?task=abc&counter=visits&was=<i>",
    ):
        answer = default.get(path)
        assert answer.status == 200
        assert "<script>alert" not in answer.text
        assert "<b><" not in answer.text


def test_a_wrong_amount_in_the_form_is_a_400(default: DefaultClient, name: str) -> None:
    answer = default.post_form("/counters/increments", {"counter": name, "amount": "1.5"})
    assert (answer.status, answer.json["field"]) == (400, "amount")
    twice = default.post_form("/counters/increments", {"counter": name, "amount": ["1", "2"]})
    assert (twice.status, twice.json["field"]) == (400, "amount")
    other = default.request("POST", "/counters/increments", b"x", {"Content-Type": "text/plain"})
    assert (other.status, other.json["field"]) == (400, "Content-Type")


def test_without_datastore_the_page_says_so(environ: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATASTORE_EMULATOR_HOST", "127.0.0.1:1")
    default = DefaultClient(environ)
    answer = default.get("/")
    assert answer.status == 503
    assert "The counters can&#39;t be read just now" in answer.text
    assert "buttons count nothing until they can" in answer.text
    assert 'id="counters"' in answer.text
    form = default.post_form("/counters/increments", {"counter": "a", "amount": "1", "key": "k"})
    assert form.status == 503
    for text in (answer.text, form.text):
        assert "504" not in text
        assert "Exceeded" not in text
        assert "connect" not in text


def test_without_datastore_a_page_in_a_browser_keeps_its_numbers_and_buttons(
    environ: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATASTORE_EMULATOR_HOST", "127.0.0.1:1")
    part = DefaultClient(environ).get("/live")
    assert part.status == 503
    assert 'id="arrival"' in part.text
    assert 'id="counters"' not in part.text, "script replaces only what is in its answer"


def test_without_the_queue_the_page_still_shows_the_counters(
    environ: dict[str, str], default: DefaultClient, name: str, wait_for_state: Callable[[str, str], Any]
) -> None:
    task = default.post_json(f"/api/counters/{name}/increments", {"amount": 1}).json["task"]
    wait_for_state(task, "applied")
    away = DefaultClient({**environ, "CLOUD_TASKS_EMULATOR_HOST": "127.0.0.1:1"})
    answer = away.get(f"/?prefix={name}&task=ab12&counter={name}&was=enqueued")
    assert answer.status == 200
    assert f'data-value="{name}"' in answer.text
    assert "The queue does not answer" in answer.text


def test_without_datastore_increments_are_still_taken(
    environ: dict[str, str], monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv("DATASTORE_EMULATOR_HOST", "127.0.0.1:1")
    default = DefaultClient(environ)
    assert default.post_json(f"/api/counters/{name}/increments", {"amount": 1}).status == 202
    with_key = default.post_json(f"/api/counters/{name}/increments", {"amount": 1}, {"Idempotency-Key": name})
    assert (with_key.status, with_key.headers["Retry-After"]) == (503, "2")


@pytest.mark.parametrize("path", ["/api/counters", "/api/counters/visits", "/api/tasks/abc"])
def test_without_datastore_questions_are_answered_503(
    environ: dict[str, str], monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    monkeypatch.setenv("DATASTORE_EMULATOR_HOST", "127.0.0.1:1")
    answer = DefaultClient(environ).get(path)
    assert (answer.status, answer.json["title"]) == (503, "Service Unavailable")
    assert answer.headers["Retry-After"] == "2"


def test_without_the_queue_the_answer_names_the_task(
    environ: dict[str, str], database: object, name: str
) -> None:
    default = DefaultClient({**environ, "CLOUD_TASKS_EMULATOR_HOST": "127.0.0.1:1"})
    single = default.post_json(f"/api/counters/{name}/increments", {"amount": 1})
    batch = default.post_json("/api/increments", [{"counter": name, "amount": 1}] * 3)
    for answer in (single, batch):
        assert (answer.status, answer.json["state"]) == (503, "unknown")
        assert answer.json["task"] in answer.json["detail"]


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (b"counter={}", "application/x-www-form-urlencoded"),
        (b"counter={}&amount=", "application/x-www-form-urlencoded"),
        (b"counter={}&amount", "application/x-www-form-urlencoded"),
        (b"counter={}&Amount=5", "application/x-www-form-urlencoded"),
        (b"counter={}&a\0m\0o\0u\0n\0t\0=\x005\0", "application/x-www-form-urlencoded; charset=utf-16"),
        (b"counter={}&amount=%ff", "application/x-www-form-urlencoded"),
    ],
)
def test_a_form_without_an_amount_that_can_be_read_counts_nothing(
    default: DefaultClient, name: str, body: bytes, content_type: str
) -> None:
    for path in ("/counters/increments", f"/counters/{name}/increments"):
        sent = body.replace(b"{}", name.encode())
        answer = default.request("POST", path, sent, {"Content-Type": content_type})
        assert answer.status == 400
    assert default.get(f"/api/counters/{name}").status == 404
