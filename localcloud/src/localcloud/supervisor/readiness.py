"""When is an instance ready: it accepts connections, and has answered its warm-up request."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from http import HTTPStatus

from localcloud.supervisor.http_call import http_call
from localcloud.supervisor.process import Process, StartError

_POLL_SECONDS = 0.03
_ANSWER_SECONDS = 60.0


async def wait_until_listening(host: str, port: int) -> None:
    """Return once something accepts connections there. Cancelled when the process ends."""
    while True:
        with contextlib.suppress(OSError):
            _, writer = await asyncio.open_connection(host, port)
            writer.close()
            return
        await asyncio.sleep(_POLL_SECONDS)


def first_request_probe(
    host: str, port: int, path: str | None, host_header: str, before: Callable[[], Awaitable[None]]
) -> Callable[[Process], Awaitable[None]]:
    """A probe: wait for the port, then for `before` (the servers that the program needs), then ask `path`.

    Real service: /_ah/warmup and /_ah/start come from 0.1.0.3; 2xx and 404 (no such handler) are fine.
    """

    headers = {
        "Host": host_header,
        "User-Agent": "localcloud",
        "X-AppEngine-User-IP": "0.1.0.3",
        "X-Forwarded-For": "0.1.0.3",
    }

    async def probe(process: Process) -> None:
        await wait_until_listening(host, port)
        await before()
        if path is None:
            return
        label = process.command.label
        try:
            async with asyncio.timeout(_ANSWER_SECONDS):
                status, first_line = await http_call(f"{host}:{port}", "GET", path, headers=headers)
        except TimeoutError:
            raise StartError(
                f"{label} did not answer {path} within {_ANSWER_SECONDS:.0f} s. Its log: {process.log.path}"
            ) from None
        except (OSError, ValueError, asyncio.IncompleteReadError) as error:
            raise StartError(f"{label} did not answer {path}: {error}. Its log: {process.log.path}") from None
        if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            said = first_line.rstrip(".")
            raise StartError(f"{label} answered {path} with {status}: {said}. Its log: {process.log.path}")

    return probe
