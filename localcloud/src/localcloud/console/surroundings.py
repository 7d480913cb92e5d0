"""Where everything is: what the supervisor publishes in state.json, or what the command line says."""

from __future__ import annotations

import http.client
import json
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from typing import Any

from localcloud.console.errors import Problem
from localcloud.supervisor.state import read_state

_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Surroundings:
    """The local cloud that this console looks into."""

    data: Path
    project: str
    region: str
    # None: somebody else's server, which has no such port.
    datastore_http: str | None = None
    tasks_http: str | None = None
    # Where the supervisor reads orders; None: nobody does.
    orders: int | None = field(default=None, repr=False)

    @property
    def location(self) -> str:
        """The parent of the queues."""
        return f"projects/{self.project}/locations/{self.region}"

    def state(self) -> dict[str, Any]:
        """What the supervisor says now; empty without one."""
        return read_state(self.data) or {}


def side_port(address: str | None, method: str, path: str) -> Any:
    """What the side port of one of our servers answers, in JSON. Raises Problem."""
    if address is None:
        raise Problem(
            "This server was not started by localcloud: it doesn't tell that.", HTTPStatus.NOT_FOUND
        )
    host, _, port = address.rpartition(":")
    connection = http.client.HTTPConnection(host, int(port), timeout=_SECONDS)
    try:
        connection.request(method, path)
        answer = connection.getresponse()
        text = answer.read().decode("utf-8", "replace")
        if answer.status == HTTPStatus.OK:
            return json.loads(text)
    except (OSError, ValueError, http.client.HTTPException) as error:
        raise Problem(f"{address} does not answer: {error}", HTTPStatus.BAD_GATEWAY) from None
    finally:
        connection.close()
    raise Problem(text.strip(), answer.status)
