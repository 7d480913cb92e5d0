"""Google's Datastore clients take their server from the environment alone, when they are made."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def clients_of(address: str) -> Iterator[None]:
    """Clients that are made in this block talk to the server at `address`, then and later; no others do."""
    before = os.environ.get("DATASTORE_EMULATOR_HOST")
    os.environ["DATASTORE_EMULATOR_HOST"] = address
    try:
        yield
    finally:
        if before is None:
            del os.environ["DATASTORE_EMULATOR_HOST"]
        else:
            os.environ["DATASTORE_EMULATOR_HOST"] = before
