"""Figures and times as people read them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from urllib.parse import quote, urlencode

_THIN = "\N{NARROW NO-BREAK SPACE}"
NONE = "\N{EN DASH}"


def whole(value: int | None) -> str:
    """1234567 as 1,234,567, with a real minus sign."""
    if value is None:
        return NONE
    return f"{value:,}".replace("-", "\N{MINUS SIGN}")


def percent(share: float | None) -> str:
    """0.9987 as 99.87 %; never rounded up to 100 %."""
    if share is None:
        return NONE
    shown = min(share * 100, 99.99) if share < 1 else share * 100
    return f"{shown:.2f}{_THIN}%" if 0 < share < 1 else f"{shown:.0f}{_THIN}%"


def ratio(value: float | None) -> str:
    return NONE if value is None else f"{value:.2f}"


def span(seconds: float | None) -> str:
    """A length of time in the one or two units that matter."""
    if seconds is None:
        return NONE
    if seconds < 0.9995:
        return f"{max(seconds, 0) * 1000:.0f}{_THIN}ms"
    if seconds < 60:
        return f"{seconds:.1f}{_THIN}s" if seconds < 9.95 else f"{seconds:.0f}{_THIN}s"
    minutes, rest = divmod(int(seconds), 60)
    if minutes < 60:
        return f"{minutes}{_THIN}min" if minutes >= 10 or not rest else f"{minutes}{_THIN}min {rest}{_THIN}s"
    hours, minutes = divmod(minutes, 60)
    if hours < 48:
        return f"{hours}{_THIN}h {minutes}{_THIN}min" if minutes else f"{hours}{_THIN}h"
    return f"{hours // 24}{_THIN}days"


def milliseconds(value: float | None) -> str:
    return NONE if value is None else span(value / 1000)


def instant(moment: datetime) -> str:
    """For the `datetime` attribute of a <time> element."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def utc(moment: datetime | None) -> str:
    """What the page says without script, which puts the viewer's own zone in its place."""
    return NONE if moment is None else moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def minute_utc(moment: datetime) -> str:
    """A minute of today; script puts the viewer's own zone in its place."""
    return moment.astimezone(UTC).strftime("%H:%M UTC")


def rate(per_s: float) -> str:
    """A rate per second; per minute or per hour where a second has less than one."""
    if per_s == 0 or per_s >= 1:
        number, unit = per_s, "s"
    elif per_s * 60 >= 1:
        number, unit = per_s * 60, "min"
    else:
        number, unit = per_s * 3600, "h"
    return f"{whole(round(number)) if number >= 100 else f'{number:.3g}'}/{unit}"


def task_page(name: str, kind: str = "", queue: str = "") -> str:
    """The address of a task's page. Kind and queue, where they are known, spare it a search."""
    query = urlencode({key: value for key, value in (("kind", kind), ("queue", queue)) if value})
    return f"/admin/tasks/{quote(name, safe='')}" + (f"?{query}" if query else "")


FILTERS: dict[str, Callable[..., str]] = {
    "whole": whole,
    "percent": percent,
    "ratio": ratio,
    "span": span,
    "milliseconds": milliseconds,
    "instant": instant,
    "utc": utc,
    "minute_utc": minute_utc,
    "rate": rate,
    "task_page": task_page,
}
