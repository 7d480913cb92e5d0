"""Entrypoints that name their own port, although programs on App Engine listen on the one in PORT."""

from __future__ import annotations

import re

# `:8080` after nothing or an address of this machine, `--port 8080`, `-p 8080`.
_FIXED = re.compile(
    r"(?:(?<![^\s=\"'])(?:\*|0\.0\.0\.0|127\.0\.0\.1|localhost|\[::1?\])?:|\s(?:--?port|-p)[=\s])(\d{2,5})(?!\S*[\w/:.])"
)


def fixed_port(entrypoint: str) -> int | None:
    """The port that `entrypoint` names, if it does not use PORT; None if it isn't recognised."""
    found = None if "PORT" in entrypoint else _FIXED.search(entrypoint)
    return int(found[1]) if found else None


def with_variable(entrypoint: str, port: int) -> str | None:
    """The entrypoint with $PORT instead of `port`, without the `exec` that Google's parser adds; None if the
    port is not in it.
    """
    changed, count = re.subn(rf"(?<!\d){port}(?!\d)", "$PORT", entrypoint.removeprefix("exec "))
    return changed if count else None
