"""Named values out of a query string and a body: a form or a JSON object.

Works on what arrived, byte for byte, because a framework answers what it can't decode with a 500, which a
queue would repeat for ever. Here it is an InvalidPayload, which says where the trouble is.
"""

from __future__ import annotations

import codecs
import json
from collections.abc import Iterable
from email.message import Message
from email.parser import BytesParser
from email.policy import HTTP
from functools import lru_cache
from typing import Any
from urllib.parse import parse_qsl

from counters.increment import InvalidPayload

_MOST_FIELDS = 100
_REMEMBERED = 64
"""Content-Types whose meaning is remembered: nearly all requests give one of a few."""


def fields_of(query: str, content_type: str, body: bytes) -> dict[str, object]:
    """The values by name. Raises InvalidPayload for what can't be read, or a name given twice."""
    fields: dict[str, object] = {}
    _add(fields, _form("query string", query.encode("latin-1"), "utf-8"), "query string")
    if body:
        _add(fields, _of_body(content_type, body), "body")
    return fields


def json_of(body: bytes, charset: str = "utf-8") -> Any:
    """The value that a JSON body holds."""
    text = _decoded("body", body, charset)
    try:
        return json.loads(text, parse_constant=_no_constant, object_pairs_hook=_object)
    except (ValueError, RecursionError) as error:
        raise InvalidPayload("body", f"{text[:80]} ({error})", "JSON") from None


@lru_cache(_REMEMBERED)
def charset_of(content_type: str) -> str:
    """The charset that a Content-Type names, utf-8 if none. Raises InvalidPayload if nobody knows it."""
    charset = _header(content_type).get_param("charset", "utf-8")
    name = charset if isinstance(charset, str) else charset[2]
    try:
        return codecs.lookup(name).name
    except (LookupError, ValueError):
        raise InvalidPayload("Content-Type", content_type, "a charset that exists, such as utf-8") from None


def boundary_of(content_type: str) -> str:
    """The boundary that a multipart Content-Type names. Raises InvalidPayload if it names none."""
    try:
        boundary = _header(content_type).get_boundary()
    except UnicodeError:  # `boundary*=` may name any codec
        boundary = None
    if not boundary:
        raise InvalidPayload("Content-Type", content_type, "multipart/form-data with a boundary")
    return boundary


def _of_body(content_type: str, body: bytes) -> Iterable[tuple[str, object]]:
    kind = _kind_of(content_type)
    charset = charset_of(content_type)
    if kind == "application/octet-stream":
        # The queue's default when the creator named no type.
        kind = "application/json" if body.lstrip().startswith((b"{", b"[")) else "text/plain"
    if kind == "application/json" or kind.endswith("+json"):
        value = json_of(body, charset)
        if not isinstance(value, dict):
            raise InvalidPayload("body", value, "a JSON object")
        return value.items()
    if kind == "multipart/form-data":
        return _multipart(content_type, body)
    return _form("body", body, charset)


def _add(fields: dict[str, object], pairs: Iterable[tuple[str, object]], where: str) -> None:
    for name, value in pairs:
        if name in fields:
            raise InvalidPayload(name, value, f"one value, but the {where} gives another")
        fields[name] = value


def _form(where: str, data: bytes, charset: str) -> list[tuple[str, object]]:
    text = _decoded(where, data, charset)
    try:
        pairs = parse_qsl(text, keep_blank_values=True, errors="strict", max_num_fields=_MOST_FIELDS)
    except UnicodeDecodeError:
        raise InvalidPayload(where, text[:80], "percent-encoded UTF-8") from None
    except ValueError:
        raise InvalidPayload(where, text[:80], f"at most {_MOST_FIELDS} fields") from None
    return [(name, value) for name, value in pairs]


def _multipart(content_type: str, body: bytes) -> list[tuple[str, object]]:
    boundary_of(content_type)
    head = b"Content-Type: " + content_type.encode("latin-1") + b"\r\n\r\n"
    message = BytesParser(policy=HTTP).parsebytes(head + body)
    pairs: list[tuple[str, object]] = []
    for part in message.iter_parts() if message.is_multipart() else ():
        name = part.get_param("name", header="Content-Disposition")
        content = part.get_payload(decode=True)
        if isinstance(name, str) and isinstance(content, bytes):
            pairs.append((name, _decoded(name, content, "utf-8")))
    return pairs


def _decoded(where: str, data: bytes, charset: str) -> str:
    try:
        return data.decode(charset)
    except (UnicodeError, LookupError):  # some codecs raise no UnicodeDecodeError but its parent
        raise InvalidPayload(where, data[:80], f"text in {charset}") from None


@lru_cache(_REMEMBERED)
def _kind_of(content_type: str) -> str:
    return _header(content_type).get_content_type() if content_type else "application/octet-stream"


def _header(content_type: str) -> Message:
    message = Message()
    message["Content-Type"] = content_type
    return message


def _object(pairs: list[tuple[str, object]]) -> dict[str, object]:
    values = dict(pairs)
    if len(values) != len(pairs):
        raise ValueError("an object gives a name twice")
    return values


def _no_constant(text: str) -> None:
    raise ValueError(f"{text} is not JSON")
