"""Reads one HTTP/1.x response from bytes as they come: its status and its end; the body is thrown away."""

import re

_STATUS_LINE = re.compile(rb"HTTP/1\.([01]) ([1-9]\d\d)(?: [^\r\n]*)?")
_SIZE_LINE = re.compile(rb"([0-9A-Fa-f]{1,16})[ \t]*(?:;[^\r\n]*)?")
MAX_HEAD_BYTES = 64 * 1024
# Real service: the largest response of an App Engine handler.
MAX_BODY_BYTES = 32 * 1024 * 1024
MAX_LINE_BYTES = 8 * 1024
# A target may write a number of any length; no task is kept for more than ten years.
MAX_RETRY_AFTER_SECONDS = 10 * 366 * 24 * 3600.0


class BadResponse(Exception):
    """What came is not an HTTP response."""


class ResponseParser:
    """Feed it bytes until `is_complete`; `feed` raises BadResponse for what is not HTTP.

    Real service: a task's response body and headers are discarded; only the status counts (and Retry-After).
    """

    def __init__(self, *, is_head: bool = False) -> None:
        self.status = 0
        self.retry_after_seconds: float | None = None
        self.is_complete = False
        self.keeps_alive = False
        self._is_head = is_head  # a HEAD request: its answer has no body, whatever its headers say
        self._buffer = bytearray()
        self._in_head = True
        self._is_chunked = False
        self._in_trailer = False
        self._body_bytes = 0
        self._left: int | None = (
            0  # bytes of the body, or of a chunk, still to come; None: until the connection ends
        )

    def feed(self, data: bytes) -> None:
        """Take in more bytes."""
        if self._in_head:
            self._buffer += data
            while self._in_head and not self.is_complete:
                end = self._buffer.find(b"\r\n\r\n")
                if end < 0:
                    if len(self._buffer) > MAX_HEAD_BYTES:
                        raise BadResponse(f"a response head of more than {MAX_HEAD_BYTES:,} bytes")
                    if len(self._buffer) >= 5 and not self._buffer.startswith(b"HTTP/"):
                        raise BadResponse("an answer that is not HTTP")
                    return
                head = bytes(self._buffer[:end])
                del self._buffer[: end + 4]
                self._read_head(head)
            data = bytes(self._buffer)
            self._buffer.clear()
        if self.is_complete:
            if data:
                # More than one answer to one request: whatever it is, not to be taken for the next one's.
                self.keeps_alive = False
            return
        self._read_body(data)

    def end(self) -> None:
        """The connection has ended. Raises BadResponse if the response has not."""
        if self.is_complete:
            return
        if self._in_head or self._is_chunked or self._left is not None:
            raise BadResponse("the connection was closed before the answer was complete")
        self.is_complete = True

    def _read_head(self, head: bytes) -> None:
        lines = head.split(b"\r\n")
        found = _STATUS_LINE.fullmatch(lines[0])
        if not found:
            raise BadResponse("an answer that is not HTTP")
        status = int(found[2])
        if status < 200 and status != 101:
            return  # an interim answer; the real one follows
        headers = _headers(lines[1:])
        self.status = status
        self._in_head = False
        connection = headers.get(b"connection", b"").lower()
        self.keeps_alive = b"close" not in connection and (found[1] == b"1" or b"keep-alive" in connection)
        self.retry_after_seconds = _seconds(headers.get(b"retry-after"))
        if self._is_head or status in (101, 204, 304):
            self.is_complete = True
            self.keeps_alive = self.keeps_alive and status != 101
        elif b"chunked" in headers.get(b"transfer-encoding", b"").lower():
            self._is_chunked = True
        elif b"content-length" in headers:
            length = headers[b"content-length"]
            if not length.isdigit() or len(length) > 18:
                raise BadResponse("an answer whose Content-Length is not a number")
            self._left = int(length)
            self._count_body(self._left)
            self.is_complete = self._left == 0
        else:
            self._left = None
            self.keeps_alive = False

    def _read_body(self, data: bytes) -> None:
        if self._is_chunked:
            self._count_body(len(data))
            self._read_chunks(data)
        elif self._left is None:
            self._count_body(len(data))
        else:
            if len(data) > self._left:
                self.keeps_alive = False
            self._left = max(0, self._left - len(data))
            self.is_complete = self._left == 0

    def _count_body(self, size: int) -> None:
        self._body_bytes += size
        if self._body_bytes > MAX_BODY_BYTES:
            raise BadResponse(f"an answer of more than {MAX_BODY_BYTES // 1024 // 1024} MB")

    def _read_chunks(self, data: bytes) -> None:
        """`_left` is what is missing of the chunk and its line end; 0 where a size line is next."""
        position = 0
        while position < len(data) and not self.is_complete:
            if self._left:
                step = min(self._left, len(data) - position)
                self._left -= step
                position += step
                continue
            end = data.find(b"\n", position)
            self._buffer += data[position : len(data) if end < 0 else end + 1]
            if len(self._buffer) > MAX_LINE_BYTES:
                raise BadResponse("a chunked answer with an endless line")
            if end < 0:
                return
            position = end + 1
            line = bytes(self._buffer).strip(b"\r\n")
            self._buffer.clear()
            self._read_chunk_line(line)
        if self.is_complete and position < len(data):
            self.keeps_alive = False

    def _read_chunk_line(self, line: bytes) -> None:
        if self._in_trailer:
            self.is_complete = not line
            return
        found = _SIZE_LINE.fullmatch(line)
        if not found:
            raise BadResponse("a chunked answer with a chunk of no size")
        size = int(found[1], 16)
        self._in_trailer = size == 0
        self._left = size + 2 if size else 0


def _headers(lines: list[bytes]) -> dict[bytes, bytes]:
    headers: dict[bytes, bytes] = {}
    for line in lines:
        name, colon, value = line.partition(b":")
        if not colon:
            raise BadResponse("an answer with a header line without a colon")
        headers[name.lower()] = value.strip()
    return headers


def _seconds(value: bytes | None) -> float | None:
    """The seconds of a Retry-After header.

    We differ: its other form, a date, is not heeded.
    """
    return min(float(value), MAX_RETRY_AFTER_SECONDS) if value is not None and value.isdigit() else None
