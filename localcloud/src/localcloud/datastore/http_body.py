"""The body of an HTTP request, up to a limit: sent whole or in chunks, compressed or not."""

from __future__ import annotations

import zlib
from email.message import Message as Headers
from io import BufferedIOBase

from localcloud.transcoding import Malformed

_GZIP = 16 + zlib.MAX_WBITS
_LONGEST_LINE = 1000


def read_body(headers: Headers, stream: BufferedIOBase, most: int) -> bytes:
    """At most `most` bytes, before and after unpacking. Raises Malformed; the stream can't be used then."""
    if "chunked" in headers.get("Transfer-Encoding", "").lower():
        content = _chunks(stream, most)
    else:
        text = headers.get("Content-Length", "0")
        if not (text.isascii() and text.isdigit()):
            raise Malformed(f"Content-Length is {text[:100]!r}. Expected a whole number.")
        _check(int(text), most)
        content = _exactly(stream, int(text))
    encoding = headers.get("Content-Encoding", "identity").strip().lower()
    if encoding in ("gzip", "x-gzip"):
        return _unpacked(content, most)
    if encoding != "identity":
        raise Malformed(f"Content-Encoding is {encoding[:100]!r}. Expected gzip, or none.")
    return content


def _chunks(stream: BufferedIOBase, most: int) -> bytes:
    parts: list[bytes] = []
    total = 0
    while True:
        line = stream.readline(_LONGEST_LINE)
        try:
            size = int(line.partition(b";")[0], 16)
        except ValueError:
            size = -1
        if size < 0:
            raise Malformed("The body's chunks are malformed. Expected a size in hexadecimal digits.")
        total += size
        _check(total, most)
        if not size:
            break
        parts.append(_exactly(stream, size))
        stream.readline(_LONGEST_LINE)
    while stream.readline(_LONGEST_LINE) not in (b"\r\n", b"\n", b""):
        pass  # trailers
    return b"".join(parts)


def _exactly(stream: BufferedIOBase, size: int) -> bytes:
    content = stream.read(size)
    if len(content) < size:
        raise Malformed(f"The body has {len(content):,} bytes. Expected {size:,}, as announced.")
    return content


def _unpacked(content: bytes, most: int) -> bytes:
    unpacking = zlib.decompressobj(_GZIP)
    try:
        unpacked = unpacking.decompress(content, most + 1)
    except zlib.error as error:
        raise Malformed(f"The body can't be unpacked: {error}.") from None
    _check(len(unpacked), most)
    if not unpacking.eof:
        raise Malformed("The packed body ends too early.")
    return unpacked


def _check(size: int, most: int) -> None:
    if size > most:
        raise Malformed(f"The request has {size:,} bytes or more. At most {most:,} are allowed.")
