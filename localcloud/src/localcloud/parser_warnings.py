"""Google's parsers use ruamel.yaml, which warns at length about what App Engine accepts."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator


@contextlib.contextmanager
def no_parser_warnings() -> Iterator[None]:
    """No warnings inside: a value like 1e3 is not the user's mistake."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
