"""`make smoke URL=https://...`: one guest through a service that runs, sent twice, welcomed once.

The standard library alone, and nothing of the application, so that it sees what any client sees.
"""

from __future__ import annotations

import argparse
import secrets
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from urllib.parse import urlencode

_PAUSE_S = 0.2


class SmokeFailed(Exception):
    """What went wrong, in a sentence."""


def smoke(url: str, say: Callable[[str], None], wait_s: float) -> None:
    """Send, wait, send again. Raises SmokeFailed with what was not as it should be."""
    guest = f"smoke-{secrets.token_hex(4)}"
    form = urlencode({"guest": guest, "key": guest}).encode()
    started = time.monotonic()
    page, text = _call(url, form)
    say(f"Sent {guest}: {page}")
    while "<b>applied</b>" not in text:
        if time.monotonic() - started > wait_s:
            raise SmokeFailed(f"After {wait_s:.0f} s the task is not applied. Look at /admin.")
        time.sleep(_PAUSE_S)
        _, text = _call(page)
    again, text = _call(url, form)
    if again != page or f"{guest}: 1<" not in text:
        raise SmokeFailed(f"Sent again, it came to {again}, and the page does not say '{guest}: 1'.")
    say("Sent twice, welcomed once.")


def _call(url: str, form: bytes | None = None) -> tuple[str, str]:
    """The address that was reached in the end, and its page."""
    try:
        with urllib.request.urlopen(url, form, timeout=60) as answer:
            return answer.url, answer.read().decode()
    except (OSError, ValueError) as error:
        raise SmokeFailed(f"{url} does not answer as expected: {error}. Is the URL right?") from error


def main(arguments: Sequence[str]) -> int:
    """The exit status: 0 if the guest was welcomed exactly once, 1 if not, or if it can't be told."""
    parser = argparse.ArgumentParser(prog="make smoke", description=__doc__)
    parser.add_argument("url", metavar="URL", help="the default service's, e.g. http://localhost:8080")
    parser.add_argument("--wait", type=float, default=90.0, metavar="SECONDS", help="for the task, at most")
    given = parser.parse_args(arguments)
    try:
        smoke(given.url.rstrip("/") + "/", print, given.wait)
    except SmokeFailed as reason:
        print(f"smoke: {reason}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
