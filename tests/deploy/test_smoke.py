"""`make smoke` says what happened to one increment sent twice, and what is wrong where something is."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from deploy.smoke import main

Answer = tuple[int, Any]


class Scripted:
    """A service that answers as its functions say; by default as ours does when all is well."""

    def __init__(self) -> None:
        self.value = 41
        self.sent: list[str] = []
        self.increment: Callable[[], Answer] = self._increment
        self.task: Callable[[], Answer] = lambda: (200, {"state": "applied", "attempts": 1})

    def _increment(self) -> Answer:
        if self.sent[-1] in self.sent[:-1]:
            return 202, {"task": "t1", "state": "duplicate"}
        self.value += 1
        return 202, {"task": "t1", "state": "enqueued"}


@pytest.fixture
def service() -> Scripted:
    return Scripted()


@pytest.fixture
def url(service: Scripted) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            counter = (200, {"name": "smoke", "value": service.value})
            self.answer(counter if self.path.startswith("/api/counters/") else service.task())

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            service.sent.append(self.headers["Idempotency-Key"])
            self.answer(service.increment())

        def answer(self, answer: Answer) -> None:
            status, members = answer
            body = members if isinstance(members, bytes) else json.dumps(members).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_all_is_well(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([url]) == 0
    assert "The counter stays at 42: sent twice, counted once." in capsys.readouterr().out


@pytest.mark.parametrize(
    ("part", "answer", "said"),
    [
        (
            "task",
            (200, {"state": "pending", "last_response": "500"}),
            "the task is 'pending', its last response",
        ),
        ("task", (200, {"state": "rejected"}), "the task is 'rejected'"),
        ("task", (404, {}), "the task is 'pending'"),
        ("increment", (503, {"detail": "The queue did not answer."}), "got 503: The queue did not answer."),
        ("increment", (401, {"detail": "No key."}), "make smoke URL=... API_KEY=..."),
        (
            "increment",
            (202, {"task": "t1", "state": "enqueued"}),
            "Expected 'duplicate' of t1, got 'enqueued'",
        ),
        ("increment", (502, b"<html>bad gateway</html>"), "answered 502, and no JSON"),
    ],
)
def test_what_is_wrong_is_one_sentence(
    service: Scripted, url: str, capsys: pytest.CaptureFixture[str], part: str, answer: Answer, said: str
) -> None:
    setattr(service, part, lambda: answer)

    assert main([url, "--wait", "0.3"]) == 1

    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert said in error


def test_an_increment_that_counts_twice_is_found_out(
    service: Scripted, url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    once = service.increment

    def twice() -> Answer:
        service.value += len(service.sent) > 1
        return once()

    service.increment = twice

    assert main([url]) == 1
    assert "the counter went 41, 42, 43" in capsys.readouterr().err


def test_where_nobody_answers_it_asks_for_the_url(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["http://127.0.0.1:9"]) == 1
    assert "Is the URL right?" in capsys.readouterr().err
