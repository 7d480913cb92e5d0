"""A request and a response as plain values, and what forms send."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qsl, urlencode

from localcloud.console.errors import Problem

Pairs = list[tuple[str, str]]
_MOST_FIELDS = 20_000
_BOUNDARY = re.compile(r'multipart/form-data\s*;.*?boundary=(?:"([^"]{1,70})"|([^;\s]{1,70}))', re.IGNORECASE)
_DISPOSITION_NAME = re.compile(r'\bname="([^"]*)"')
_DISPOSITION_FILE = re.compile(r'\bfilename="')


class Fields:
    """What a form or an address says: names may come more than once."""

    def __init__(self, pairs: Iterable[tuple[str, str]] = ()) -> None:
        self.pairs: Pairs = list(pairs)

    def get(self, name: str, default: str = "") -> str:
        return next((value for key, value in self.pairs if key == name), default)

    def all(self, name: str) -> list[str]:
        return [value for key, value in self.pairs if key == name]

    def __contains__(self, name: str) -> bool:
        return any(key == name for key, _ in self.pairs)


@dataclass(slots=True)
class Request:
    """What a browser asked. `files` are the uploads of a form, by the field's name."""

    method: str
    path: str
    query: Fields
    headers: Mapping[str, str]
    form: Fields = field(default_factory=Fields)
    files: dict[str, bytes] = field(default_factory=dict)


@dataclass(slots=True)
class Response:
    """An answer. A body of several pieces is sent as it comes."""

    status: int
    body: bytes | Iterator[bytes]
    content_type: str = "text/html; charset=utf-8"
    headers: dict[str, str] = field(default_factory=dict)


def address(path: str, **params: Any) -> str:
    """A path with its query; what is None or empty is left out, a list comes several times."""
    given = {name: value for name, value in params.items() if value not in (None, "", b"", [])}
    return f"{path}?{urlencode(given, doseq=True)}" if given else path


def see_other(path: str, **params: Any) -> Response:
    """After a form has done its work: look at the result, with GET."""
    return Response(HTTPStatus.SEE_OTHER, b"", headers={"Location": address(path, **params)})


def json_response(value: Any) -> Response:
    return Response(HTTPStatus.OK, json.dumps(value).encode(), "application/json")


def parse_query(text: str) -> Fields:
    """The fields of an address or of a simple form. Raises Problem for what is not UTF-8, or too much."""
    try:
        pairs = parse_qsl(text, keep_blank_values=True, errors="strict", max_num_fields=_MOST_FIELDS)
    except ValueError as error:
        raise Problem(f"The fields can't be read ({error}). Expected UTF-8, percent-encoded.") from None
    return Fields(pairs)


def read_form(request: Request, body: bytes) -> None:
    """Fill in `form` and `files`. Raises Problem."""
    content_type = request.headers.get("content-type", "")
    if content_type.lower().startswith("application/x-www-form-urlencoded"):
        try:
            request.form = parse_query(body.decode("ascii"))
        except UnicodeDecodeError:
            raise Problem("The form is not percent-encoded.") from None
        return
    found = _BOUNDARY.match(content_type)
    if found is None:
        raise Problem("Expected a form.", HTTPStatus.UNSUPPORTED_MEDIA_TYPE)
    boundary = b"--" + (found[1] or found[2]).encode()
    for part in (b"\r\n" + body).split(b"\r\n" + boundary)[1:]:
        head, separator, content = part.partition(b"\r\n\r\n")
        name = _DISPOSITION_NAME.search(head.decode("utf-8", "replace"))
        if not separator or name is None:
            continue
        if _DISPOSITION_FILE.search(head.decode("utf-8", "replace")):
            request.files[name[1]] = content
        else:
            request.form.pairs.append((name[1], content.decode("utf-8", "replace")))
