"""HTTP tasks: the request as the queue's HttpTarget changes it, and the token that it carries."""

import base64
import json
from dataclasses import dataclass
from urllib.parse import urlsplit

from localcloud.tasks.clock import SECOND_US
from localcloud.tasks.messages import HttpRequest, HttpTarget, Message, UriOverride
from localcloud.tasks.url import encoded_part

_SCHEMES = {UriOverride.Scheme.Value("HTTP"): "http", UriOverride.Scheme.Value("HTTPS"): "https"}
_IF_NOT_EXISTS = UriOverride.UriOverrideEnforceMode.Value("IF_NOT_EXISTS")
TOKEN_SECONDS = 3600


@dataclass(frozen=True, slots=True)
class Destination:
    """A URL taken apart as a request needs it."""

    scheme: str
    host: str
    port: int
    path: str  # with the query

    @property
    def host_header(self) -> str:
        """Host, and the port unless it is the scheme's own."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == (443 if self.scheme == "https" else 80) else f"{host}:{self.port}"


def with_queue_target(request: Message, target: bytes) -> Message:
    """The HttpRequest `request` with the method, headers and tokens of its queue's HttpTarget, serialized in
    `target`.

    Real service: what the queue sets beats what the task says (HttpTarget).
    """
    if not target:
        return request
    queue_target = HttpTarget.FromString(target)
    changed = HttpRequest()
    changed.CopyFrom(request)
    changed.http_method = queue_target.http_method or request.http_method
    for override in queue_target.header_overrides:
        key = override.header.key
        for name in [name for name in changed.headers if name.lower() == key.lower()]:
            del changed.headers[name]
        changed.headers[key] = override.header.value
    for token in ("oauth_token", "oidc_token"):
        if queue_target.HasField(token):
            getattr(changed, token).CopyFrom(getattr(queue_target, token))
    return changed


def destination(url: str, target: bytes) -> Destination:
    """Where the request for `url` goes, by its queue's UriOverride, if there is one in `target`."""
    override = HttpTarget.FromString(target).uri_override
    parts = urlsplit(url)
    scheme, host, port = parts.scheme, parts.hostname or "", parts.port
    path, query = parts.path, parts.query
    # Real service: in this mode only what the task's URL lacks is set (UriOverride.UriOverrideEnforceMode);
    # scheme and host it always has.
    always = override.uri_override_enforce_mode != _IF_NOT_EXISTS
    if always and override.HasField("scheme"):
        scheme = _SCHEMES.get(override.scheme, "https")
    if always and override.HasField("host"):
        host = override.host
    if override.HasField("port") and (always or port is None):
        # Real service: 0 clears the port.
        port = override.port or None
    if override.HasField("path_override") and (always or not path):
        path = encoded_part(override.path_override.path)
    if override.HasField("query_override") and (always or not query):
        query = encoded_part(override.query_override.query_params)
    if not path.startswith("/"):
        path = f"/{path}"
    return Destination(
        scheme, host, port or (443 if scheme == "https" else 80), path + (f"?{query}" if query else "")
    )


def authorization(request: Message, url: str, now_us: int) -> str | None:
    """The Authorization header of the HttpRequest `request`, if it asks for a token.

    We differ: nobody signs at home. An OIDC token has the real one's claims and the algorithm `none`, so that
    a handler can read it; an OAuth token is a text that names its account.
    """
    if request.HasField("oidc_token"):
        token = request.oidc_token
        now = now_us // SECOND_US
        claims = {
            "iss": "https://accounts.google.com",
            "aud": token.audience or url,
            "email": token.service_account_email,
            "email_verified": True,
            "sub": token.service_account_email,
            "iat": now,
            "exp": now + TOKEN_SECONDS,
        }
        return f"Bearer {_encoded({'alg': 'none', 'typ': 'JWT'})}.{_encoded(claims)}."
    if request.HasField("oauth_token"):
        return f"Bearer local-oauth-token-of-{request.oauth_token.service_account_email}"
    return None


def _encoded(values: dict[str, object]) -> str:
    return base64.urlsafe_b64encode(json.dumps(values).encode()).rstrip(b"=").decode()
