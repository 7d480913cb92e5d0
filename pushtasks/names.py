"""Names of tasks, and the queue that a name belongs to.

A name is chosen before the queue is asked, so that asking again is safe; it is hashed or random, never
sequential, because neighbouring names slow Cloud Tasks down ("Issues and limitations" in its docs).
"""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Sequence
from hashlib import sha256
from zlib import crc32

from pushtasks.errors import Rejected

_OURS_AGAIN = re.compile(r"([0-9a-f]{32})-r([0-9]{1,9})")
_NAME = re.compile(r"[A-Za-z0-9_-]{1,500}")
_HANDLER = re.compile(r"[A-Za-z0-9_./-]{1,100}")
_HANDLER_EXPECTED = "1 to 100 of letters, digits, '.', '_', '-' and '/'"
_KEY_EXPECTED = "1 to 255 printable ASCII characters"
_NAME_EXPECTED = "1 to 500 of letters, digits, '-' and '_'"


def parse_idempotency_key(value: str | None) -> str | None:
    """The key; None if the header is missing. Raises Rejected for one that can't be used."""
    if value is None:
        return None
    if not 1 <= len(value) <= 255 or not value.isascii() or not value.isprintable():
        raise Rejected("Idempotency-Key", value, _KEY_EXPECTED)
    return value


def parse_task_name(value: object) -> str:
    if not isinstance(value, str) or not _NAME.fullmatch(value):
        raise Rejected("task", value, _NAME_EXPECTED)
    return value


def parse_handler_name(value: str) -> str:
    if not _HANDLER.fullmatch(value):
        raise Rejected("handler", value, _HANDLER_EXPECTED)
    return value


def random_name() -> str:
    """A name that nobody else has: 128 random bits."""
    return secrets.token_hex(16)


def keyed_name(task: str, key: str) -> str:
    """The name that an Idempotency-Key gives a task of this kind."""
    return hashed_name(task, key)


def hashed_name(*parts: str | int) -> str:
    """The name that these parts always give; other parts give another."""
    return sha256(json.dumps(parts).encode()).hexdigest()[:32]


def derived_name(name: str) -> str:
    """The name under which a kept task is enqueued again: NAME-r1, then NAME-r2, and so on."""
    again = _OURS_AGAIN.fullmatch(name)
    # Only names that we made are counted up: another program may own both import-r5 and import-r6.
    return f"{again[1]}-r{int(again[2]) + 1}" if again else f"{name}-r1"


def derived_from(name: str) -> str | None:
    """The name that `derived_name` made `name` from; None if it did not."""
    again = _OURS_AGAIN.fullmatch(name)
    if again:
        number = int(again[2])
        return f"{again[1]}-r{number - 1}" if number > 1 else again[1]
    return name.removesuffix("-r1") if name.endswith("-r1") and len(name) > 3 else None


def queue_of(name: str, queues: Sequence[str]) -> str:
    """The queue that a name belongs to, always the same: a queue knows names only within itself."""
    return queues[crc32(name.encode()) % len(queues)]
