"""Who is asking, according to a request's headers.

X-AppEngine-* headers are believed only where App Engine (or localcloud) is in front: there they are removed
from outside requests ("Request headers and responses", App Engine docs). `login: admin` in the YAML is the
first guard; what is here is the second.
"""

from __future__ import annotations

import hmac
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from pushtasks.settings import Settings

SECURITY_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
        "form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cache-Control": "no-store",
}


@dataclass(frozen=True, slots=True)
class Caller:
    """Who sent a request, as far as its headers can be trusted."""

    email: str = ""
    is_admin: bool = False
    is_task: bool = False

    @property
    def signed_in(self) -> bool:
        return bool(self.email)


def caller_of(headers: Mapping[str, str], settings: Settings) -> Caller:
    """The caller that `headers` (names in lower case) describe; nobody where they can't be trusted."""
    if not settings.on_app_engine:
        return Caller()
    return Caller(
        email=headers.get("x-appengine-user-email", ""),
        is_admin=headers.get("x-appengine-user-is-admin") == "1",
        is_task=bool(headers.get("x-appengine-queuename") and headers.get("x-appengine-taskname")),
    )


def may_change(caller: Caller, settings: Settings) -> bool:
    """Whether the caller may change things under /admin, not only look."""
    return caller.is_admin and ("*" in settings.editors or caller.email.lower() in _lower(settings.editors))


def holds_a_key(authorization: str, keys: Iterable[str]) -> bool:
    """Whether an Authorization header carries one of the keys; takes as long whatever it carries."""
    scheme, _, token = authorization.partition(" ")
    given = token.strip().encode("utf-8", "replace")
    found = False
    for key in keys:
        found |= hmac.compare_digest(given, key.encode())
    return found and scheme.lower() == "bearer"


def is_cross_site(headers: Mapping[str, str]) -> bool:
    """Whether a browser says that another site's page sent this request, or doesn't say that ours did.

    Sec-Fetch-Site where the browser sends it, else an Origin that is this host's own.
    """
    site = headers.get("sec-fetch-site")
    if site is not None:
        return site != "same-origin"
    origin = headers.get("origin", "")
    return not origin or origin.partition("://")[2] != headers.get("host", "")


def _lower(items: tuple[str, ...]) -> set[str]:
    return {item.lower() for item in items}
