"""Pages from templates: the application's own first, then the dashboard's, then those that both extend."""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path

import jinja2

from pushtasks.web import figures

_OURS = Path(__file__).parent.parent
_FOLDERS = [_OURS / "dashboard" / "templates", _OURS / "web" / "templates"]


@cache
def environment() -> jinja2.Environment:
    """The one of this process. `globals` may be added to before the first page."""
    made = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_FOLDERS),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters.update(figures.FILTERS)
    made.globals["version"] = os.environ.get("GAE_VERSION", "")
    made.globals["site_name"] = "Tasks"
    return made


def set_up(templates: Path, site_name: str) -> None:
    """Use the application's templates; they come before ours of the same name. Called once, at start."""
    made = environment()
    made.loader = jinja2.FileSystemLoader([templates, *_FOLDERS])
    made.globals["site_name"] = site_name


def site_name() -> str:
    return str(environment().globals["site_name"])


def render(template: str, **values: object) -> str:
    return environment().get_template(template).render(**values)


def load_all() -> None:
    """Compile every template, so that the first page doesn't wait for it."""
    made = environment()
    for name in made.list_templates(extensions=["html"]):
        made.get_template(name)
