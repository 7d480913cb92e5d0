"""Finds the browser that the browser tests and `make screenshots` use."""

from __future__ import annotations

import shutil

NAMES = ("chromium", "chromium-browser", "google-chrome")

MISSING = (
    f"No browser is installed that could be driven: none of {', '.join(NAMES)} is on PATH. "
    "On Debian: apt-get install chromium. On Ubuntu: snap install chromium"
)


def chromium() -> str | None:
    """The program, None if there is none."""
    return next(filter(None, map(shutil.which, NAMES)), None)
