"""Spreads a service's requests over its instances, and waits a little for one that is just starting."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence

from localcloud.frontend.messages import Response
from localcloud.frontend.upstream import ConnectionResetByInstanceError, Instance, NothingSentError

_RETRY_SECONDS = 0.05
_REPEATABLE = frozenset({b"GET", b"HEAD", b"OPTIONS", b"PUT", b"DELETE", b"TRACE"})


class Balancer:
    """The instances of one service. Any request may go to any of them: there is no affinity."""

    def __init__(self, instances: Sequence[Instance], pending_seconds: float, answer_seconds: float) -> None:
        """`pending_seconds`: how long a request waits for an instance that accepts connections.
        `answer_seconds`: how long an answer may take.
        """
        self._instances = list(instances)
        self._pending_seconds = pending_seconds
        self._answer_seconds = answer_seconds
        self._next = 0

    async def request(self, method: bytes, head: bytes, body: bytes) -> Response:
        """The answer of one instance.

        Raises UpstreamError: NothingSentError after `pending_seconds` without an instance, AnswerTooLateError
        after `answer_seconds` without an answer; any other says that an instance had the request and failed.
        """
        is_head, repeatable = method == b"HEAD", method in _REPEATABLE
        was_reset = False
        pending_until: float | None = None
        refused: set[Instance] = set()
        while True:
            instance = self._least_busy(refused)
            instance.in_flight += 1
            try:
                return await instance.request(
                    head, body, is_head=is_head, repeatable=repeatable, answer_seconds=self._answer_seconds
                )
            except NothingSentError:
                # Real service: a request waits in the pending queue until an instance is there.
                now = time.monotonic()
                pending_until = pending_until or now + self._pending_seconds
                refused.add(instance)
                if len(refused) == len(self._instances):
                    if now > pending_until:
                        raise
                    refused.clear()
                    await asyncio.sleep(_RETRY_SECONDS)
            except ConnectionResetByInstanceError:
                # An instance that stops resets the connections that it has not accepted yet: ask once more.
                if was_reset or not repeatable:
                    raise
                was_reset = True
                await asyncio.sleep(_RETRY_SECONDS)
            finally:
                instance.in_flight -= 1

    def close(self) -> None:
        for instance in self._instances:
            instance.close()

    def _least_busy(self, refused: set[Instance]) -> Instance:
        """The one with the fewest requests; among equals they take turns."""
        count = len(self._instances)
        if count == 1:
            return self._instances[0]
        self._next = (self._next + 1) % count
        turn = self._instances[self._next :] + self._instances[: self._next]
        return min((one for one in turn if one not in refused), key=lambda one: one.in_flight)
