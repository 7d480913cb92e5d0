"""`make smoke URL=https://...`: one increment through a service that runs, sent twice, counted once.

The standard library alone, and nothing of the application, so that it sees what any client sees.
"""

from __future__ import annotations

import argparse
import json
import os
import secrets
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from typing import Any

COUNTER = "smoke"
_PAUSE_S = 0.2


class SmokeFailed(Exception):
    """What went wrong, in a sentence."""


class Service:
    """A running default service, as its clients see it."""

    def __init__(self, url: str, api_key: str = "") -> None:
        self._url = url.rstrip("/")
        self._headers = {"Accept": "application/json"}
        if api_key:
            self._headers["Authorization"] = f"Bearer {api_key}"

    def call(self, path: str, body: object = None, **headers: str) -> tuple[int, Any]:
        """Status and JSON. Raises SmokeFailed where nobody answers, or not in JSON."""
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        data = None
        if body is not None:
            data = json.dumps(body).encode()
            sent["Content-Type"] = "application/json"
        try:
            request = urllib.request.Request(self._url + path, data, {**self._headers, **sent})
            with urllib.request.urlopen(request, timeout=60) as answer:
                status, text = answer.status, answer.read()
        except urllib.error.HTTPError as error:
            with error:
                status, text = error.code, error.read()
        except (OSError, ValueError) as error:
            raise SmokeFailed(f"{self._url} does not answer: {error}. Is the URL right?") from error
        try:
            return status, json.loads(text)
        except ValueError:
            raise SmokeFailed(f"{self._url}{path} answered {status}, and no JSON: {text[:80]!r}") from None

    def value(self) -> int:
        """The counter's value now; 0 before its first increment."""
        status, answer = self.call(f"/api/counters/{COUNTER}")
        if status == 404:
            return 0
        return int(_expected(status, 200, answer)["value"])

    def increment(self, key: str) -> Mapping[str, Any]:
        """Task and state of an increment by 1 under an Idempotency-Key."""
        status, answer = self.call(f"/api/counters/{COUNTER}/increments", {"amount": 1}, Idempotency_Key=key)
        return _expected(status, 202, answer)

    def task(self, name: str) -> Mapping[str, Any]:
        status, answer = self.call(f"/api/tasks/{name}")
        # Between the queue's letting go and the record there may be a moment in which neither knows it.
        return {"state": "pending"} if status == 404 else _expected(status, 200, answer)


def smoke(service: Service, say: Callable[[str], None], wait_s: float) -> None:
    """Send, wait, send again. Raises SmokeFailed with what was not as it should be."""
    key = f"smoke-{secrets.token_hex(8)}"
    before = service.value()
    say(f"The counter {COUNTER!r} is at {before}.")
    started = time.monotonic()
    sent = service.increment(key)
    say(f"Sent +1 under the key {key}: task {sent['task']}, {sent['state']}.")
    if sent["state"] not in ("enqueued", "accepted"):
        raise SmokeFailed(f"A new key came out as {sent['state']!r}; expected 'enqueued'.")
    task = service.task(sent["task"])
    while task["state"] == "pending" and time.monotonic() - started < wait_s:
        time.sleep(_PAUSE_S)
        task = service.task(sent["task"])
    took_s = time.monotonic() - started
    if task["state"] != "applied":
        raise SmokeFailed(
            f"After {took_s:.0f} s the task is {task['state']!r}, "
            f"its last response {task.get('last_response')!r}. "
            "Look at the worker's log and at /admin: are the queues there and running?"
        )
    after = service.value()
    say(f"Applied after {took_s:.1f} s, by attempt {task['attempts']}; the counter is at {after}.")
    again = service.increment(key)
    say(f"Sent again under the same key: {again['state']}.")
    if again["task"] != sent["task"] or again["state"] not in ("duplicate", "accepted"):
        raise SmokeFailed(
            f"Expected 'duplicate' of {sent['task']}, got {again['state']!r} of {again['task']}."
        )
    last = service.value()
    if after != before + 1 or last != after:
        raise SmokeFailed(
            f"Expected {before}, {before + 1}, {before + 1}; the counter went {before}, {after}, {last}. "
            f"Does somebody else increment {COUNTER!r} just now?"
        )
    say(f"The counter stays at {last}: sent twice, counted once.")


def _expected(status: int, wanted: int, answer: Any) -> Mapping[str, Any]:
    if status != wanted or not isinstance(answer, dict):
        detail = answer.get("detail", answer) if isinstance(answer, dict) else answer
        hint = (
            " Is COUNTER_API_ACCESS on? Then: make smoke URL=... API_KEY=..." if status in (401, 403) else ""
        )
        raise SmokeFailed(f"Expected status {wanted}, got {status}: {detail}{hint}")
    return answer


def main(arguments: Sequence[str]) -> int:
    """The exit status: 0 if the increment was counted exactly once, 1 if not, or if it can't be told."""
    parser = argparse.ArgumentParser(prog="make smoke", description=__doc__)
    parser.add_argument("url", metavar="URL", help="the default service's, e.g. http://localhost:8080")
    parser.add_argument("--wait", type=float, default=90.0, metavar="SECONDS", help="for the task, at most")
    given = parser.parse_args(arguments)
    try:
        smoke(Service(given.url, os.environ.get("API_KEY", "")), print, given.wait)
    except SmokeFailed as reason:
        print(f"smoke: {reason}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
