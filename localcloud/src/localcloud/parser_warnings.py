"""Google's parsers stand on ruamel.yaml, which warns in many lines of what App Engine accepts."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator


@contextlib.contextmanager
def no_parser_warnings() -> Iterator[None]:
    """Inside, nothing is warned of: a value like 1e3 is no mistake of the user's."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
