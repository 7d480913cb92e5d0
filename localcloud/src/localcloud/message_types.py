"""Message types from Google's client packages, without the clients.

Importing a module from `google.cloud.tasks_v2.types` runs `google.cloud.tasks_v2` first, which imports the
clients and with them authentication, cryptography and an HTTP library: 12 MB in each server that only needs
the messages.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def without_clients(*packages: str) -> Iterator[None]:
    """In the block these packages' modules can be imported without what their `__init__` imports.

    Afterwards importing such a package itself works as usual, and finds the same message types.
    """
    skipped = [name for name in packages if name not in sys.modules]
    for name in skipped:
        spec = importlib.util.find_spec(name)
        if spec is None:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        sys.modules[name] = importlib.util.module_from_spec(spec)
    try:
        yield
    finally:
        for name in skipped:
            del sys.modules[name]
