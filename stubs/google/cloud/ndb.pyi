"""google-cloud-ndb carries no types, and lies in a namespace package where mypy must find something."""

from typing import Any

def __getattr__(name: str) -> Any: ...
