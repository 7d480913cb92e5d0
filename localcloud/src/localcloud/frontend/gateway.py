"""From a request to its answer: the host, the handler, the sign-in, then a file or a service."""

from __future__ import annotations

import posixpath
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from localcloud.frontend import login, pages, static_files
from localcloud.frontend.balancing import Balancer
from localcloud.frontend.headers import RequestHeaders, pass_on
from localcloud.frontend.identity import Sessions, User
from localcloud.frontend.messages import Request, Response, redirect
from localcloud.frontend.upstream import (
    AnswerTooLateError,
    NothingSentError,
    ResponseTooLargeError,
    UpstreamError,
)
from localcloud.routing import Kind, Routes, decoded_path, is_local_name, parse_host


@dataclass(slots=True)
class Gateway:
    """The front end's decisions."""

    routes: Routes
    # Each service's folder, that of its YAML file: static files are relative to it.
    folders: Mapping[str, Path]
    balancers: Mapping[str, Balancer]
    sessions: Sessions
    headers: RequestHeaders
    log_folder: Path
    allows_any_host: bool = False

    async def handle(self, request: Request) -> Response:
        """The answer. Never raises: what fails unexpectedly is a 500, and a line in the log."""
        try:
            return await self._answer(request)
        except Exception as error:  # noqa: BLE001 - the connection must get an answer
            self._log(request, f"the front end failed: {error!r}")
            return pages.problem(request, 500, "Internal error", "The front end failed; see its log.")

    async def _answer(self, request: Request) -> Response:
        target = request.target
        if target[:1] != b"/":
            target = request.target = _origin_form(request)
            if not target:
                return pages.problem(request, 400, "Bad request", "The target is a path that begins with /.")
        host = request.host
        if not self.allows_any_host and not is_local_name(host):
            # A page elsewhere could let its own name lead here, and act as if it were this machine's.
            return pages.problem(
                request,
                403,
                "Host refused",
                f"{host!r} is not a name of this machine: use localhost. "
                "To serve other machines, start with --host.",
            )
        if host and parse_host(host) is None:
            return pages.problem(request, 400, "Bad request", f"{host!r} is not a host: expected NAME:PORT.")
        path = decoded_path(target.decode("latin-1"))
        if request.method in (b"GET", b"HEAD"):
            normal = _normal(target)
            if normal is not None:
                return redirect(normal)  # as the dev server does
        user = self.sessions.user_of(request.headers_of(b"cookie"))
        if path in (login.LOGIN_PATH, login.LOGOUT_PATH):
            return login.answer(request, path, user, self.sessions)
        service, match = self.routes.match(host, path)
        if match is None:
            return _not_found(request, f"No handler of the service {service!r} matches {path}.")
        refused = login.refusal(request, match.handler, user)
        if refused is not None:
            return refused
        if match.handler.kind is Kind.SCRIPT:
            return await self._forward(service, request, user)
        file = static_files.serve(request, match, self.folders[service])
        return file or _not_found(request, f"There is no such file: {path}.")

    async def _forward(self, service: str, request: Request, user: User | None) -> Response:
        head, trace = self.headers.head(request, user)
        try:
            response = await self.balancers[service].request(request.method, head, request.body)
        except UpstreamError as error:
            return self._failure(service, request, error)
        return pass_on(response, trace)

    def _failure(self, service: str, request: Request, error: UpstreamError) -> Response:
        log = self.log_folder / f"{service}*.log"
        self._log(request, f"service {service}: {error}")
        if isinstance(error, NothingSentError):
            status, title = 503, "Service unavailable"
            text = f"The service {service!r} is not running: {error}. What it last said is in {log}."
        elif isinstance(error, AnswerTooLateError):
            status, title = 504, "Too late"
            text = f"The service {service!r} took too long: {error}. Its log is {log}."
        elif isinstance(error, ResponseTooLargeError):
            status, title = 500, "Response too large"
            text = f"The service {service!r} answered too much: {error}, which App Engine does not pass on."
        else:
            status, title = 502, "Bad gateway"
            text = f"The service {service!r} failed: {error}. What it last said is in {log}."
        return pages.problem(request, status, title, text)

    def _log(self, request: Request, text: str) -> None:
        line = f"{request.method.decode()} {request.target[:300].decode('latin-1')}: {text}"
        print(line, file=sys.stderr, flush=True)


def _origin_form(request: Request) -> bytes:
    """The path and query of a target like http://HOST/PATH, if it names the same host; else nothing."""
    scheme, _, rest = request.target.partition(b"://")
    authority, slash, path = rest.partition(b"/")
    same = authority.lower() == (request.header(b"host") or b"").lower()
    return slash + path if scheme.lower() == b"http" and same else b""


def _normal(target: bytes) -> str | None:
    """The target without empty, `.` and `..` segments; None if it has none.

    Only in its raw form: %2F and %2E are the program's business, and handlers see what the program sees.
    """
    path, question, query = target.decode("latin-1").partition("?")
    if "//" not in path and "/." not in path:
        return None
    normal = "/" + posixpath.normpath(path).lstrip("/")
    if normal != "/" and path.endswith(("/", "/.", "/..")):
        normal += "/"
    return normal + question + query if normal != path else None


def _not_found(request: Request, text: str) -> Response:
    return pages.problem(request, 404, "Not found", text)
