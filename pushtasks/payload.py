"""Named values out of a query string and a body: a form or a JSON object.

Works on what arrived, byte for byte, because a framework answers 500 to what it can't decode, and a queue
would repeat that for ever. Here it is a Rejected, which says what is wrong.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import Any
from urllib.parse import parse_qsl

from pushtasks.errors import Rejected

_MOST_FIELDS = 100

_CHARSETS = {
    "utf-8": "utf-8",
    "utf8": "utf-8",
    "us-ascii": "ascii",
    "ascii": "ascii",
    "iso-8859-1": "latin-1",
    "iso8859-1": "latin-1",
    "latin-1": "latin-1",
    "latin1": "latin-1",
}
"""Python's codec by charset. Only these: Python remembers every other name that it is asked for, for ever,
and some of its codecs take seconds for a body."""

_PARAMETER = re.compile(r';\s*([^\s=;"]+)\s*=\s*("[^"]*"|[^\s;"]*)')


def fields_of(query: str, content_type: str, body: bytes) -> dict[str, object]:
    """The values by name. Raises Rejected for what can't be read, or a name given twice."""
    fields: dict[str, object] = {}
    _add(fields, _form("query string", query.encode("latin-1"), "utf-8"), "query string")
    if body:
        _add(fields, _of_body(content_type, body), "body")
    return fields


def canonical_json(value: object) -> bytes:
    """The value as JSON, the same bytes for the same value. Raises Rejected for what JSON can't hold."""
    try:
        return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()
    except (TypeError, ValueError) as error:
        raise Rejected("payload", f"{value!r:.80} ({error})", "what JSON can hold") from None


def json_of(body: bytes, charset: str = "utf-8") -> Any:
    """The value that a JSON body holds."""
    text = _decoded("body", body, charset)
    try:
        return json.loads(text, parse_constant=_no_constant, object_pairs_hook=_object)
    except (ValueError, RecursionError) as error:
        raise Rejected("body", f"{text[:80]} ({error})", "JSON") from None


def kind_of(content_type: str) -> str:
    """The media type that a Content-Type names, without its parameters; empty if none."""
    return content_type.partition(";")[0].strip().lower()


def charset_of(content_type: str) -> str:
    """Python's codec for the charset that a Content-Type names; utf-8 if it names none.

    Raises Rejected for any charset but UTF-8, US-ASCII and ISO-8859-1.
    """
    for name, value in _PARAMETER.findall(content_type):
        if name.lower() == "charset":
            codec = _CHARSETS.get(value.strip('"').lower())
            if codec is None:
                raise Rejected("Content-Type", content_type, "charset=utf-8")
            return codec
    return "utf-8"


def _of_body(content_type: str, body: bytes) -> Iterable[tuple[str, object]]:
    kind = kind_of(content_type) or "application/octet-stream"
    charset = charset_of(content_type)
    if kind == "application/octet-stream":
        # The queue's default when the creator named no type.
        kind = "application/json" if body.lstrip().startswith((b"{", b"[")) else "text/plain"
    if kind == "application/json" or kind.endswith("+json"):
        value = json_of(body, charset)
        if not isinstance(value, dict):
            raise Rejected("body", value, "a JSON object")
        return value.items()
    if kind.startswith("multipart/"):
        raise Rejected("Content-Type", content_type, "application/json or application/x-www-form-urlencoded")
    return _form("body", body, charset)


def _add(fields: dict[str, object], pairs: Iterable[tuple[str, object]], where: str) -> None:
    for name, value in pairs:
        if name in fields:
            raise Rejected(name, value, f"one value, but the {where} gives another")
        fields[name] = value


def _form(where: str, data: bytes, charset: str) -> list[tuple[str, object]]:
    text = _decoded(where, data, charset)
    try:
        pairs = parse_qsl(text, keep_blank_values=True, errors="strict", max_num_fields=_MOST_FIELDS)
    except UnicodeDecodeError:
        raise Rejected(where, text[:80], "percent-encoded UTF-8") from None
    except ValueError:
        raise Rejected(where, text[:80], f"at most {_MOST_FIELDS} fields") from None
    return [(name, value) for name, value in pairs]


def _decoded(where: str, data: bytes, charset: str) -> str:
    try:
        return data.decode(charset)
    except UnicodeDecodeError:
        raise Rejected(where, data[:80], f"text in {charset}") from None


def _object(pairs: list[tuple[str, object]]) -> dict[str, object]:
    values = dict(pairs)
    if len(values) != len(pairs):
        raise ValueError("an object gives a name twice")
    return values


def _no_constant(text: str) -> None:
    raise ValueError(f"{text} is not JSON")
