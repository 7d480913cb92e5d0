"""Where deliveries go: the instances of each service of the application, and what its handlers let pass."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from localcloud.tasks.bad_start import BadStart
from localcloud.tasks.clock import SECOND_US
from localcloud.tasks.queue_config import DAY_US

DEFAULT_SERVICE = "default"
_SERVICE_TARGET = re.compile(r"([a-z0-9][a-z0-9-]{0,62})=(.*)")
# Real service: how long a request to App Engine standard may take, by the scaling of its service.
AUTOMATIC_SCALING_LIMIT_US = 600 * SECOND_US
MANUAL_SCALING_LIMIT_US = DAY_US


@dataclass(frozen=True, slots=True)
class Address:
    """Host and port of one instance."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Targets:
    """The instances of each service. `fallback` takes what names a service that is not there."""

    services: Mapping[str, Sequence[Address]] = field(default_factory=dict)
    fallback: Sequence[Address] = ()

    def instances(self, service: str) -> Sequence[Address]:
        """The instances of `service` (empty: the default one); none if it is unknown here."""
        return self.services.get(service or DEFAULT_SERVICE, self.fallback)


def parse_targets(texts: Sequence[str]) -> Targets:
    """The values of --target: `URL` or `SERVICE=URL[,URL...]`. Raises BadStart."""
    services: dict[str, list[Address]] = {}
    fallback: list[Address] = []
    for text in texts:
        found = _SERVICE_TARGET.fullmatch(text)
        into = fallback if found is None else services.setdefault(found[1], [])
        into.extend(_address(url, text) for url in (text if found is None else found[2]).split(","))
    return Targets(services, fallback)


def _address(url: str, text: str) -> Address:
    try:
        parts = urlsplit(url)
        port = parts.port or 80
    except ValueError:
        parts, port = urlsplit(""), 0
    if parts.scheme != "http" or not parts.hostname or parts.path not in ("", "/") or parts.query:
        raise BadStart(
            f"--target {text}: {url!r} is not the address of an instance. "
            "Expected http://HOST:PORT, or SERVICE=http://HOST:PORT with more addresses after commas."
        )
    return Address(parts.hostname, port)
