"""Pages from the templates that both services share."""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path

import jinja2

from pushtasks.dashboard import figures

_TEMPLATES = Path(__file__).parents[2] / "templates"


@cache
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(figures.FILTERS)
    environment.globals["version"] = os.environ.get("GAE_VERSION", "")
    return environment


def render(template: str, **values: object) -> str:
    return _environment().get_template(template).render(**values)


def load_all() -> None:
    """Compile every template, so that the first page doesn't wait for it."""
    environment = _environment()
    for name in environment.list_templates(extensions=["html"]):
        environment.get_template(name)
