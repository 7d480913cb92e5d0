"""Which headers of a request a service sees: what the client may say, and what only the platform may."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

from localcloud.frontend.identity import User
from localcloud.frontend.messages import Headers, Request, Response
from localcloud.proxy_headers import is_proxys_word

_HOP_BY_HOP = frozenset(
    {
        b"connection",
        b"keep-alive",
        b"proxy-connection",
        b"proxy-authenticate",
        b"proxy-authorization",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
        b"content-length",
        b"expect",
        b"http2-settings",
    }
)
# What says who is asking: not even an administrator may say it for somebody else.
_PLATFORM_ONLY = (
    b"x-appengine-user-",
    b"x-appengine-auth-domain",
    b"x-appengine-api-ticket",
    b"x-appengine-https",
    b"x-appengine-request-log-id",
    b"x-appengine-default-version-hostname",
    b"x-appengine-timeout-ms",
    b"x-appengine-country",
)
_TIMEOUT_MS = b"600000"


@dataclass(slots=True)
class RequestHeaders:
    """Writes the head of the request that an instance gets."""

    # `localhost:8080`: where the default service of the default version is found.
    default_hostname: str
    randomness: Callable[[int], int] = random.getrandbits

    def head(self, request: Request, user: User | None) -> tuple[bytes, bytes]:
        """The request's head for the instance, and the trace id that the answer will name."""
        is_admin = user is not None and user.is_admin
        dropped = _HOP_BY_HOP | _named_by_connection(request)
        lines = [b"%b %b HTTP/1.1\r\n" % (request.method, request.target)]
        trace = forwarded = b""
        for name, value in request.headers:
            key = name.lower()
            if key in dropped:
                continue
            if key == b"x-cloud-trace-context":
                trace = trace or value
                continue
            if is_proxys_word(key):
                if key == b"x-forwarded-for":
                    forwarded += value + b", "
                continue
            if key.startswith((b"x-appengine-", b"x-google-")) and not (is_admin and _may_say(key)):
                # Real service: strips the known names only; an unknown X-Appengine-Cntry passes.
                # We differ: strip them all, for a program that reads a name believes it.
                continue
            lines.append(b"%b: %b\r\n" % (name, value))
        trace = trace or self._new_trace()
        if request.body or request.method in (b"POST", b"PUT", b"PATCH"):
            lines.append(b"Content-Length: %d\r\n" % len(request.body))
        lines.append(self._platform_lines(request, forwarded, trace))
        if user is not None:
            lines.append(_user_lines(user))
        lines.append(b"\r\n")
        return b"".join(lines), trace

    def _platform_lines(self, request: Request, forwarded: bytes, trace: bytes) -> bytes:
        peer = request.peer.encode()
        # Real service: ZZ is an unknown country; the client's address closes X-Forwarded-For.
        return (
            b"X-Forwarded-For: %b%b\r\nX-Forwarded-Proto: http\r\nX-Cloud-Trace-Context: %b\r\n"
            b"X-AppEngine-Country: ZZ\r\nX-AppEngine-Https: off\r\nX-AppEngine-User-IP: %b\r\n"
            b"X-AppEngine-Request-Log-Id: %032x\r\nX-AppEngine-Default-Version-Hostname: %b\r\n"
            b"X-AppEngine-Timeout-Ms: %b\r\n"
        ) % (
            forwarded,
            peer,
            trace,
            peer,
            self.randomness(128),
            self.default_hostname.encode(),
            _TIMEOUT_MS,
        )

    def _new_trace(self) -> bytes:
        return b"%032x/%d;o=1" % (self.randomness(128), self.randomness(63))


def pass_on(response: Response, trace: bytes) -> Response:
    """The instance's answer as the client gets it.

    Real service: the platform's own Server header, and the request's trace id.
    """
    dropped = _HOP_BY_HOP
    for name, value in response.headers:
        if name.lower() == b"connection":
            dropped = dropped | {token.strip().lower() for token in value.split(b",")}
    response.headers = [
        (name, value)
        for name, value in response.headers
        if name.lower() not in dropped and name.lower() not in (b"server", b"x-cloud-trace-context")
    ]
    response.headers.append((b"X-Cloud-Trace-Context", trace))
    response.headers.append((b"Server", b"localcloud"))
    return response


def _named_by_connection(request: Request) -> frozenset[bytes]:
    """Connection may name further headers that are meant for this hop alone; not those we rely on."""
    values = request.headers_of(b"connection")
    if not values or values == [b"keep-alive"]:
        return frozenset()
    named = {token.strip().lower() for value in values for token in value.split(b",")}
    return frozenset(named - {b"host", b"cookie"})


def _may_say(key: bytes) -> bool:
    """Real service: a signed-in administrator of the app may set task headers, for testing."""
    return not key.startswith((*_PLATFORM_ONLY, b"x-google-"))


def _user_lines(user: User) -> bytes:
    headers: Headers = [
        (b"Email", user.email.encode()),
        (b"Id", user.user_id.encode()),
        (b"Nickname", user.nickname.encode()),
        (b"Organization", user.organization.encode()),
        (b"Is-Admin", b"1" if user.is_admin else b"0"),
    ]
    lines = b"".join(b"X-AppEngine-User-%b: %b\r\n" % header for header in headers)
    return lines + b"X-AppEngine-Auth-Domain: gmail.com\r\n"
