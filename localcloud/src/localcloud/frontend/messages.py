"""A request and a response, collected whole: plain values that the rest of the front end works on."""

from __future__ import annotations

from dataclasses import dataclass, field
from email.utils import formatdate
from http import HTTPStatus
from urllib.parse import quote

Headers = list[tuple[bytes, bytes]]

# Real service: the limit of a request's and of a response's body in the standard environment.
MAX_BODY_BYTES = 32 * 1024 * 1024

# What may stand in a URL as it is (RFC 3986), and the sign of what is encoded already.
_URL_CHARACTERS = "!#$%&'()*+,/:;=?@[]~"
_REASONS = {status.value: status.phrase.encode() for status in HTTPStatus}


@dataclass(slots=True)
class Request:
    """A request as the client sent it; `headers` in its order and spelling."""

    method: bytes
    target: bytes
    headers: Headers
    body: bytes
    peer: str
    keeps_alive: bool = True

    def header(self, name: bytes) -> bytes | None:
        """The first header of that (lower-case) name, whatever the client's spelling."""
        for key, value in self.headers:
            if key.lower() == name:
                return value
        return None

    def headers_of(self, name: bytes) -> list[bytes]:
        return [value for key, value in self.headers if key.lower() == name]

    def text_header(self, name: str) -> str | None:
        value = self.header(name.encode())
        return None if value is None else value.decode("latin-1")

    @property
    def host(self) -> str:
        return self.text_header("host") or ""


@dataclass(slots=True)
class Response:
    """An answer. Content-Length and Connection are the server's to write."""

    status: int
    headers: Headers = field(default_factory=list)
    body: bytes = b""
    # For HEAD and 304: the length that the body would have had, as the service told it.
    told_length: bytes | None = None


def own_headers(*headers: tuple[bytes, bytes]) -> Headers:
    """What each answer of the front end itself begins with, then `headers`."""
    return [(b"Date", formatdate(usegmt=True).encode()), (b"Server", b"localcloud"), *headers]


def text_response(status: int, text: str, *headers: tuple[bytes, bytes]) -> Response:
    return Response(
        status,
        own_headers((b"Content-Type", b"text/plain; charset=utf-8"), *headers),
        f"{text}\n".encode("utf-8", "replace"),
    )


def html_response(status: int, html: str, *headers: tuple[bytes, bytes]) -> Response:
    return Response(
        status,
        own_headers((b"Content-Type", b"text/html; charset=utf-8"), *headers),
        html.encode("utf-8", "replace"),
    )


def redirect(location: str, *headers: tuple[bytes, bytes], status: int = 302) -> Response:
    """Send the client to `location`, with everything percent-encoded that a browser may read in two ways:
    a backslash, a tab, a space, whatever is not ASCII.
    """
    encoded = quote(location, safe=_URL_CHARACTERS).encode()
    return Response(status, own_headers((b"Location", encoded), *headers))


def encode_response(response: Response, *, has_body: bool, close: bool) -> bytes:
    """The bytes of `response`; without its body where the request's method or the status forbids one."""
    status = response.status
    parts = [b"HTTP/1.1 %d %s\r\n" % (status, _REASONS.get(status, b"Unknown"))]
    parts += [b"%b: %b\r\n" % header for header in response.headers]
    if status == HTTPStatus.NOT_MODIFIED or status == HTTPStatus.NO_CONTENT:
        has_body = False
    elif response.told_length is not None:
        parts.append(b"Content-Length: %b\r\n" % response.told_length)
    else:
        parts.append(b"Content-Length: %d\r\n" % len(response.body))
    parts.append(b"Connection: close\r\n\r\n" if close else b"\r\n")
    if has_body:
        parts.append(response.body)
    return b"".join(parts)
