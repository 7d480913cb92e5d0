"""Timestamps as RFC 3339 text, in UTC, to the nanosecond where there is one."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

from localcloud.console.errors import Problem

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_TEXT = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)[Tt ](\d\d):(\d\d)(?::(\d\d)(?:\.(\d{1,9}))?)?([Zz]|[+-]\d\d:\d\d)?"
)


def timestamp_text(timestamp: Any) -> str:
    """`2026-05-01T12:00:30.000001Z`, with 0, 3, 6 or 9 digits after the second.

    Raises OverflowError outside the years 1 to 9999.
    """
    moment = _EPOCH + timedelta(seconds=timestamp.seconds)
    nanos = timestamp.nanos
    if not 0 <= nanos <= 999_999_999:
        raise OverflowError("nanos")
    fraction = f"{nanos:09}"
    while fraction.endswith("000"):
        fraction = fraction[:-3]
    return f"{moment:%Y-%m-%dT%H:%M:%S}".rjust(19, "0") + (f".{fraction}" if fraction else "") + "Z"


def parse_timestamp(text: str, timestamp: Any) -> None:
    """Write the time of `text` into a Timestamp message; without an offset it is UTC. Raises Problem."""
    found = _TEXT.fullmatch(text.strip())
    try:
        if not found:
            raise ValueError(text)
        year, month, day, hour, minute = (int(found[number]) for number in range(1, 6))
        zone = _zone(found[8])
        moment = datetime(year, month, day, hour, minute, int(found[6] or 0), tzinfo=zone)
        timestamp.seconds = (moment - _EPOCH) // timedelta(seconds=1)
        timestamp.nanos = int((found[7] or "").ljust(9, "0"))
        timestamp_text(timestamp)
    except (ValueError, OverflowError):
        raise Problem(
            f"{text!r} is not a time. Expected one such as 2026-05-01T12:00:30.123456Z, years 0001 to 9999."
        ) from None


def _zone(text: str | None) -> timezone:
    if text is None or text in "Zz":
        return UTC
    minutes = int(text[1:3]) * 60 + int(text[4:6])
    return timezone(timedelta(minutes=-minutes if text[0] == "-" else minutes))
