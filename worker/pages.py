"""The worker's one page, from the templates that both services share."""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path

import jinja2

_TEMPLATES = Path(__file__).parent.parent / "templates"


@cache
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_TEMPLATES), autoescape=True, undefined=jinja2.StrictUndefined
    )
    environment.globals["version"] = os.environ.get("GAE_VERSION", "")
    return environment


def render(template: str, **values: object) -> str:
    return _environment().get_template(template).render(**values)
