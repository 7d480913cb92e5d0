"""Keeps other sites' pages out of a local HTTP port.

A browser on this machine can reach every port of it, whatever page it shows. Such a page may send a form or
a `fetch` to the port (cross-site request forgery), or let its own name lead to this machine, and then the
browser takes the port for the page's own site (DNS rebinding). So a request must name the port by its own
address. If it changes something, it must come from a page of this port, or from a program that is no
browser.
"""

import enum
import ipaddress
import re
from collections.abc import Callable
from dataclasses import dataclass

# The value of a header by its lower-case name; None if the request has no such header.
Header = Callable[[str], str | None]

FORBIDDEN = 403

_SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
_API_TYPES = frozenset({"application/json", "application/x-protobuf"})
_HOST = re.compile(r"(\[[0-9a-f:.]+\]|[a-z0-9_.-]+)(?::([0-9]{1,5}))?")
_HTTP_PORT = 80


class Body(enum.Enum):
    """What a request that changes something carries."""

    ANY = enum.auto()  # nothing, or whatever it likes: POST /reset
    API = enum.auto()  # JSON or protobuf: no page can send these types elsewhere without asking first
    FORM = enum.auto()  # a form on one of our pages: always with its Origin


@dataclass(slots=True)
class HttpGuard:
    """Decides for one port. `host` and `port` are what it listens on; set `port` once it is known."""

    host: str
    port: int

    def refusal(self, method: str, header: Header, body: Body = Body.ANY) -> str | None:
        """Why the request is answered 403, in a sentence; None: it may pass."""
        return self.host_refusal(header) or change_refusal(method, header, body)

    def host_refusal(self, header: Header) -> str | None:
        """Why the request's Host is refused. No browser leaves it out, so without one a request passes."""
        host = header("host")
        if host is None or self._is_own(host.lower()):
            return None
        return f"Host {_short(host)} is not an address of this server: use localhost:{self.port}."

    def _is_own(self, host: str) -> bool:
        match = _HOST.fullmatch(host)
        if match is None:
            return False
        name, port = match[1], int(match[2] or _HTTP_PORT)
        address, bound = _address(name), _address(self.host)
        if bound is not None and bound.is_unspecified:
            # It listens on all addresses, perhaps behind a port that a container or a tunnel maps to it. Only
            # names can be rebound.
            return address is not None or _is_loopback_name(name)
        return port == self.port and (
            (address is not None and (address.is_loopback or address == bound))
            or _is_loopback_name(name)
            or name == self.host.lower()
        )


def change_refusal(method: str, header: Header, body: Body = Body.ANY) -> str | None:
    """Why a request that changes something is refused; None for one that only reads.

    Only browsers send Sec-Fetch-Site and Origin, and no page can take them away: what has neither is a
    program, and passes, unless only a page's form is expected.
    """
    if method in _SAFE_METHODS:
        return None
    site, origin = header("sec-fetch-site"), header("origin")
    if site is not None and site != "same-origin":
        return f"{method} from a page of another site (Sec-Fetch-Site: {_short(site)}) is refused."
    if origin is not None and origin.lower() != f"http://{header('host') or ''}".lower():
        return (
            f"{method} from a page of {_short(origin)} is refused: only pages of this server may change it."
        )
    if body is Body.FORM and origin is None:
        return f"{method} without an Origin is refused: only the form on this server's own page may send it."
    if body is Body.API and (site is not None or origin is not None):
        content_type = (header("content-type") or "").partition(";")[0].strip().lower()
        if content_type not in _API_TYPES:
            return f"{method} from a page needs Content-Type {' or '.join(sorted(_API_TYPES))}."
    return None


def _address(name: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(name.strip("[]"))
    except ValueError:
        return None


def _is_loopback_name(name: str) -> bool:
    """Browsers never look these names up."""
    return name == "localhost" or name.endswith(".localhost")


def _short(value: str) -> str:
    return repr(value if len(value) <= 100 else f"{value[:100]}...")
