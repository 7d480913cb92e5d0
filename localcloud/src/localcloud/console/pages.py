"""Pages from templates: the look that all share, and the headers that let nothing foreign in."""

from __future__ import annotations

from datetime import UTC, datetime
from http import HTTPStatus
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from localcloud.console.web import Response, address

FOLDER = Path(__file__).parent
# Nothing inline, nothing from elsewhere; forms go home; no page of another origin may frame ours.
_POLICY = (
    "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; "
    "form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)
SAFE_HEADERS = {
    "Content-Security-Policy": _POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
TABS = (
    ("Overview", "/"),
    ("Data", "/data"),
    ("Tasks", "/tasks"),
    ("Logs", "/logs"),
    ("Instances", "/instances"),
    ("Cron", "/cron"),
)


class Pages:
    """Renders; `token` is in every form, and can be known only by reading one of our pages."""

    def __init__(self, token: str, project: str) -> None:
        self._environment = Environment(
            loader=FileSystemLoader(FOLDER / "templates"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._environment.globals.update(url=address, tabs=TABS, token=token, project=project)
        self._environment.filters.update(bytes=bytes_text, time=time_text)

    def page(self, template: str, status: int = HTTPStatus.OK, **values: Any) -> Response:
        """The template as a page."""
        text = self._environment.get_template(template).render(**values)
        return Response(status, text.encode("utf-8", "replace"))


def bytes_text(count: int | None) -> str:
    """`17 B`, `1.2 KB`, `3.4 MB`."""
    if count is None:
        return "not known"
    size = float(count)
    for unit in ("B", "KB", "MB", "GB"):
        if size < 1024 or unit == "GB":
            break
        size /= 1024
    return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"


def time_text(time_us: int | None) -> str:
    """Microseconds since 1970 as `2026-05-01 12:00:30.123Z`."""
    if not time_us:
        return "never"
    return f"{datetime.fromtimestamp(time_us / 1e6, UTC):%Y-%m-%d %H:%M:%S}.{time_us % 1_000_000 // 1000:03}Z"
