"""One small HTTP request to one of our processes, without a client library."""

from __future__ import annotations

import asyncio


async def http_call(
    address: str, method: str, path: str, body: bytes = b"", headers: dict[str, str] | None = None
) -> tuple[int, str]:
    """The status, and the first line of the body that holds something.

    Raises OSError, ValueError or asyncio.IncompleteReadError where there is no HTTP answer.
    """
    host, _, port = address.rpartition(":")
    lines = [f"{method} {path} HTTP/1.0", *(f"{name}: {value}" for name, value in (headers or {}).items())]
    if body:
        lines.append(f"Content-Length: {len(body)}")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        writer.write("\r\n".join([*lines, "Connection: close", "", ""]).encode("latin-1") + body)
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        except asyncio.LimitOverrunError:
            raise ValueError("its answer has endless headers") from None
        text = (await reader.read(4096)).decode("utf-8", "replace")
    finally:
        writer.close()
    status = int(head.split(" ", 2)[1])
    return status, next((line.strip()[:300] for line in text.splitlines() if line.strip()), "(no text)")
