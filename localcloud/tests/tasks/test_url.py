"""Which URLs of HTTP tasks are encoded, and which are refused."""

from __future__ import annotations

import pytest
from localcloud.tasks.errors import ApiError
from localcloud.tasks.http_target import destination
from localcloud.tasks.messages import HttpTarget
from localcloud.tasks.url import encoded

from tests.tasks.harness import Client, Handler


@pytest.mark.parametrize(
    "url",
    [
        "http://h",
        "HTTPS://H:8080/a/b;c=(d)*~?e=f&g=%20#h",
        "http://[::1]:80/x",
        "http://user:pass@h/",
        "http://h/?",
    ],
)
def test_a_url_that_is_right_stays_as_it_is(url: str) -> None:
    assert encoded(url) == url


@pytest.mark.parametrize(
    ("url", "sent"),
    [
        ("http://h/café", "http://h/caf%C3%A9"),
        ("http://h/a b", "http://h/a%20b"),
        ("http://h/?q=ß", "http://h/?q=%C3%9F"),
        ("http://h/100%", "http://h/100%25"),
        ("http://h/a%zz%20", "http://h/a%25zz%20"),
        ('http://h/"<>\\^`{|}', "http://h/%22%3C%3E%5C%5E%60%7B%7C%7D"),
        ("http://http/ü", "http://http/%C3%BC"),
        ("http://bücher.example:80/", "http://xn--bcher-kva.example:80/"),
    ],
)
def test_what_no_url_may_hold_is_encoded(url: str, sent: str) -> None:
    assert encoded(url) == sent


@pytest.mark.parametrize(
    "url",
    [
        "",
        "/x",
        "h/x",
        "ftp://h/",
        "http://",
        "http:///x",
        "http://h:0/",
        "http://h:x/",
        "http://a b/",
        "http://h\n/",
        "http://h/a\r\nX: y",
        "http://h/\x00",
        "http://" + "ü" * 80 + "/",
        "http://h/" + "é" * 400,
    ],
)
def test_other_urls_are_refused(url: str) -> None:
    with pytest.raises(ApiError, match=r"HttpRequest\.url"):
        encoded(url)


def test_a_task_is_told_and_sent_with_the_encoded_url(client: Client, queue: str, handler: Handler) -> None:
    task = client.create_task(parent=queue, task={"http_request": {"url": f"{handler.url}/a b?ü"}})
    assert task.http_request.url == f"{handler.url}/a%20b?%C3%BC"
    handler.wait_for(1)
    assert handler.requests[0].path == "/a%20b?%C3%BC"


def test_a_queues_path_and_query_are_encoded_too() -> None:
    target = HttpTarget()
    target.uri_override.path_override.path = "/é\r\n"
    target.uri_override.query_override.query_params = "a b"
    assert destination("http://h/x", target.SerializeToString()).path == "/%C3%A9%0D%0A?a%20b"
