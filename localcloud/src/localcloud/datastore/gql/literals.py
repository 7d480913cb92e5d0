"""What the strings in BLOB() and DATETIME() mean."""

from __future__ import annotations

import base64
import re
from datetime import UTC, datetime, timedelta

_BASE64URL = re.compile(r"[A-Za-z0-9_-]*")
# Real service: RFC 3339; both emulators take up to six decimals, and want the zone.
_DATETIME = re.compile(
    r"(\d{4}-\d\d-\d\d)[tT](\d\d:\d\d:\d\d)(?:\.(\d{1,6}))?(?:[zZ]|([+-]\d\d:\d\d))", re.ASCII
)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def blob_bytes(text: str) -> bytes:
    """Real service: base64url, without padding. Raises ValueError with a sentence."""
    if not _BASE64URL.fullmatch(text) or len(text) % 4 == 1:
        raise ValueError("the blob is not base64url. Expected A-Z, a-z, 0-9, - and _, no =.")
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def time_us(text: str) -> int:
    """Microseconds since 1970. Raises ValueError with a sentence."""
    match = _DATETIME.fullmatch(text)
    try:
        if match is None:
            raise ValueError
        date, time, fraction, zone = match.groups()
        when = datetime.fromisoformat(f"{date}T{time}.{fraction or '0':0<6}{zone or '+00:00'}")
        return (when - _EPOCH) // _MICROSECOND
    except ValueError:
        raise ValueError(f"{text[:100]!r} is not a time. Expected one like 2026-05-31T13:30:00.5Z.") from None
