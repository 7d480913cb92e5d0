"""Which service and which handler a request belongs to: App Engine's rules, without any I/O.

The front end asks it for requests from outside, the tasks process for deliveries, so that both obey the same
app.yaml and dispatch.yaml.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from urllib.parse import unquote_to_bytes

DEFAULT_SERVICE = "default"
_LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "[::1]"})
# What a Host header may be: a name or an address, and a port. Anything else means different things to
# different readers: `localhost:x@evil.example` is a name with a strange port, or a user at evil.example.
_HOST = re.compile(r"(\[[0-9a-f:.]{2,45}\]|[a-z0-9._-]{1,253})(?::([0-9]{1,5}))?")
_LAST_PORT = 65535
_BACK_REFERENCE = re.compile(r"\\(\d)")


class Kind(enum.Enum):
    """What answers a request: the service's own program, or a file."""

    SCRIPT = "script"
    STATIC_DIR = "static_dir"
    STATIC_FILES = "static_files"


class Login(enum.Enum):
    """Who may pass a handler."""

    OPTIONAL = "optional"
    REQUIRED = "required"
    ADMIN = "admin"


@dataclass(frozen=True, slots=True)
class Handler:
    """One entry under `handlers:` in app.yaml."""

    url: str
    pattern: re.Pattern[str]
    kind: Kind = Kind.SCRIPT
    # We differ: always enforced; App Engine does so on Python 3 only with `app_engine_apis: true`.
    login: Login = Login.OPTIONAL
    # `auth_fail_action`: True for redirect (the default), False for unauthorized (401).
    redirects_to_login: bool = True
    # `secure`: optional, always or never.
    # We differ: accepted and not enforced, for there is no TLS at home; so does the official dev server.
    secure: str = "optional"
    # STATIC_DIR: a folder. STATIC_FILES: a path that may hold \1. Relative to the folder of app.yaml.
    path: str = ""
    # STATIC_FILES: which files are there at all.
    upload: re.Pattern[str] | None = None
    mime_type: str | None = None
    expiration_seconds: int = 600
    http_headers: Mapping[str, str] = field(default_factory=dict)

    def static_path(self, match: re.Match[str]) -> str:
        """The file that `match` names, relative to the folder of app.yaml. Not yet checked for an escape."""
        if self.kind is Kind.STATIC_DIR:
            return f"{self.path.rstrip('/')}/{match.group(match.re.groups) or ''}"
        return _BACK_REFERENCE.sub(lambda reference: _group(match, int(reference.group(1))), self.path)


@dataclass(frozen=True, slots=True)
class Match:
    """A handler, and the match of its pattern with the path."""

    handler: Handler
    groups: re.Match[str]


# Real service: a file without `handlers:` sends everything to its entrypoint. With static handlers alone the
# sample apps of the Python 3 runtime call `/.*` with `script: auto` required, so what matches none is a 404.
# We differ: the official dev server appends this entry in both cases.
IMPLICIT_HANDLER = Handler(url="/.*", pattern=re.compile(r"/.*", re.DOTALL))


@dataclass(frozen=True, slots=True)
class ServiceRoutes:
    """The handlers of one service, in the order of its YAML file."""

    service: str
    handlers: Sequence[Handler] = ()

    def match(self, path: str) -> Match | None:
        """The first handler whose pattern matches the whole decoded `path`; None: 404.

        Real service: the pattern is anchored at both ends, and the first match wins (app.yaml reference).
        """
        for handler in self.handlers or (IMPLICIT_HANDLER,):
            found = handler.pattern.fullmatch(path)
            if found is not None:
                return Match(handler, found)
        return None


@dataclass(frozen=True, slots=True)
class DispatchRule:
    """One entry of dispatch.yaml: `host` and `path` may begin, respectively end, with a star."""

    host: str
    path: str
    service: str

    def matches(self, host: str, path: str) -> bool:
        if self.host.startswith("*"):
            if not host.endswith(self.host[1:]):
                return False
        elif host != self.host:
            return False
        if self.path.endswith("*"):
            return path.startswith(self.path[:-1])
        return path == self.path


@dataclass(frozen=True, slots=True)
class Routes:
    """All services of the application, and the dispatch rules over them."""

    services: Mapping[str, ServiceRoutes]
    dispatch: Sequence[DispatchRule] = ()

    def service_for(self, host: str, path: str) -> str:
        """The service that a request for `host` (with or without a port) and decoded `path` belongs to."""
        name = host_without_port(host)
        if is_dispatchable(path):
            for rule in self.dispatch:
                if rule.matches(name, path):
                    return rule.service
        return self._service_of_host(name)

    def match(self, host: str, path: str) -> tuple[str, Match | None]:
        """The service of `host` and `path`, and its handler."""
        service = self.service_for(host, path)
        return service, self.services[service].match(path)

    def default(self) -> str:
        """The service of hosts that name none: `default`, or the only one there is."""
        return DEFAULT_SERVICE if DEFAULT_SERVICE in self.services else next(iter(self.services))

    def _service_of_host(self, name: str) -> str:
        # Real service: VERSION-dot-SERVICE-dot-PROJECT; a name that does not exist falls to the default
        # service ("How requests are routed", soft routing).
        if "-dot-" in name:
            candidate = name.split("-dot-")[-2]
        elif name.endswith(".localhost"):
            candidate = name.removesuffix(".localhost").rpartition(".")[2]
        else:
            candidate = ""
        return candidate if candidate in self.services else self.default()


def compile_url(url: str, *, static_dir: bool = False) -> re.Pattern[str]:
    """The pattern of a handler's `url`. Raises ValueError with the reason if it does not compile.

    Real service: a static_dir's url is a prefix, and behaves as `url/(.*)` (app.yaml reference).
    """
    source = f"(?:{url.rstrip('/')})/(.*)" if static_dir else url
    try:
        return re.compile(source, re.DOTALL)
    except re.error as error:
        raise ValueError(f"url {url!r} is not a regular expression: {error}") from error


def compile_upload(upload: str) -> re.Pattern[str]:
    """The pattern of a handler's `upload`. Raises ValueError with the reason if it does not compile."""
    try:
        return re.compile(upload, re.DOTALL)
    except re.error as error:
        raise ValueError(f"upload {upload!r} is not a regular expression: {error}") from error


def dispatch_rule(url: str, service: str) -> DispatchRule:
    """The rule of one entry in dispatch.yaml, e.g. `*/reports/*` or `simple.example.com/`."""
    host, slash, path = url.partition("/")
    return DispatchRule(host.lower(), slash + path, service)


def routes(services: Iterable[ServiceRoutes], dispatch: Iterable[DispatchRule] = ()) -> Routes:
    """All routes. Raises ValueError for two services of one name, and for a rule that names none of them."""
    by_name: dict[str, ServiceRoutes] = {}
    for service in services:
        if service.service in by_name:
            raise ValueError(f"two files describe the service {service.service!r}")
        by_name[service.service] = service
    rules = tuple(dispatch)
    for rule in rules:
        if rule.service not in by_name:
            raise ValueError(
                f"{rule.host}{rule.path} goes to the service {rule.service!r}, which no file describes; "
                f"there are: {', '.join(by_name)}"
            )
    return Routes(by_name, rules)


def decoded_path(target: str) -> str:
    """The path of a request target, percent-decoded once, as the program behind will see it.

    Handlers are matched against this and nothing else, or `/%61dmin` would walk around `/admin`.
    """
    path = target.partition("?")[0].partition("#")[0]
    return unquote_to_bytes(path).decode("utf-8", "surrogateescape")


def parse_host(host: str) -> tuple[str, int | None] | None:
    """Name and port of a Host header; None unless it is exactly that. The name is in lower case, without the
    trailing dot of an absolute name.
    """
    found = _HOST.fullmatch(host.lower())
    if found is None:
        return None
    port = int(found[2]) if found[2] else None
    return (found[1].rstrip("."), port) if port is None or port <= _LAST_PORT else None


def host_without_port(host: str) -> str:
    """The name in a Host header; empty if it is not a valid host."""
    parsed = parse_host(host)
    return parsed[0] if parsed else ""


def is_loopback_name(name: str) -> bool:
    """Does this name lead every browser to its own machine? `name` as parse_host gives it."""
    return name in _LOOPBACK_NAMES or name.endswith(".localhost")


def is_local_name(host: str) -> bool:
    """Does a browser that sends this Host header mean this machine? Anything else may be DNS rebinding.

    App Engine's own names count: nobody can make them lead here, but for a program that says so itself.
    """
    name = host_without_port(host)
    return is_loopback_name(name) or name.endswith(("-dot-localhost", ".appspot.com"))


def is_dispatchable(path: str) -> bool:
    """Do dispatch rules apply? Real service: not to /_ah/, but for deferred tasks and Endpoints."""
    return not path.startswith("/_ah/") or path.startswith(("/_ah/queue/deferred", "/_ah/api"))


def _group(match: re.Match[str], number: int) -> str:
    return (match.group(number) or "") if number <= match.re.groups else ""
