"""Where everything is: what the supervisor publishes in state.json, or what the command line says."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
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
    # Where the supervisor reads what shall be done; None: nobody does.
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
        raise Problem("This server was not started by localcloud: it doesn't tell that.", HTTPStatus.NOT_FOUND)
    request = urllib.request.Request(f"http://{address}{path}", method=method)  # noqa: S310 - our own address
    try:
        with urllib.request.urlopen(request, timeout=_SECONDS) as answer:  # noqa: S310
            return json.loads(answer.read() or b"null")
    except urllib.error.HTTPError as error:
        with error:
            raise Problem(error.read().decode("utf-8", "replace").strip(), error.code) from None
    except (OSError, ValueError) as error:
        raise Problem(f"{address} does not answer: {error}", HTTPStatus.BAD_GATEWAY) from None
