"""/_ah/login and /_ah/logout, and who may pass a handler with `login:`."""

from __future__ import annotations

import re
from http import HTTPStatus
from urllib.parse import parse_qs, quote

from localcloud.frontend import pages
from localcloud.frontend.identity import COOKIE_NAME, Sessions, User, is_address
from localcloud.frontend.messages import Request, Response, redirect
from localcloud.http_guard import change_refusal
from localcloud.routing import Handler, Login, is_loopback_name, parse_host

LOGIN_PATH = "/_ah/login"
LOGOUT_PATH = "/_ah/logout"
_MAX_FORM_BYTES = 8192
# A path of this origin. Browsers read `//` and `/\` as the start of another host, and skip tabs.
_PATH = re.compile(r"/(?![/\\])[^\x00-\x20\\\x7f]*")
_HTTP = "http://"
# What browsers send with a request that no other site's page has caused; other programs send nothing.
_NO_OTHER_SITE = (None, b"same-origin", b"none")


def answer(request: Request, path: str, user: User | None, sessions: Sessions) -> Response:
    """The sign-in page, or the answer to its form.

    Real service: these pages are Google's own. The dev server signs in at a GET.
    We differ: only a form of our own page signs in, and no page of another origin signs out.
    """
    query = parse_qs(request.target.partition(b"?")[2].decode("latin-1"))
    if request.method in (b"GET", b"HEAD"):
        continue_to = _own_url(query.get("continue", ["/"])[0], request.host)
        if path == LOGOUT_PATH and request.header(b"sec-fetch-site") in _NO_OTHER_SITE:
            return redirect(continue_to, _cookie("", max_age_seconds=0))
        return pages.login_page(continue_to, user)
    if request.method != b"POST":
        refusal = pages.problem(request, 405, "Method not allowed", "Use the form at /_ah/login.")
        refusal.headers.append((b"Allow", b"GET, HEAD, POST"))
        return refusal
    foreign = change_refusal("POST", request.text_header)
    if foreign is not None:
        return pages.problem(request, 403, "Refused", foreign)
    form = parse_qs(request.body[:_MAX_FORM_BYTES].decode("utf-8", "replace"))
    continue_to = _own_url(form.get("continue", query.get("continue", ["/"]))[0], request.host)
    if path == LOGOUT_PATH:
        return redirect(continue_to, _cookie("", max_age_seconds=0), status=HTTPStatus.SEE_OTHER)
    email = form.get("email", [""])[0].strip()
    if not is_address(email):
        return pages.login_page(continue_to, user, "An address looks like name@example.com.")
    is_admin = form.get("admin", ["False"])[0].lower() in ("true", "on", "1")
    cookie = _cookie(sessions.issue(User(email, is_admin)), max_age_seconds=30 * 24 * 3600)
    return redirect(continue_to, cookie, status=HTTPStatus.SEE_OTHER)


def refusal(request: Request, handler: Handler, user: User | None) -> Response | None:
    """Why this user may not pass `handler`; None: welcome."""
    if handler.login is Login.OPTIONAL:
        return None
    if user is None:
        if handler.redirects_to_login:
            origin = f"{_HTTP}{request.host}".encode() if request.host else b""
            return redirect(f"{LOGIN_PATH}?continue={quote(origin + request.target, safe='')}")
        return pages.problem(request, 401, "Login required", f"Sign in at {LOGIN_PATH}.")
    if handler.login is Login.ADMIN and not user.is_admin:
        # Real service: an error whatever auth_fail_action says; 401 as the dev server's.
        return pages.problem(
            request,
            401,
            "Not authorized",
            f"{user.email} is signed in, but is not an administrator. Sign in as one at {LOGIN_PATH}.",
            link=(f"{LOGIN_PATH}?continue={quote(request.target, safe='')}", "Sign in as an administrator"),
        )
    return None


def _cookie(value: str, max_age_seconds: int) -> tuple[bytes, bytes]:
    text = f"{COOKIE_NAME}={value}; Path=/; Max-Age={max_age_seconds}; HttpOnly; SameSite=Lax"
    return b"Set-Cookie", text.encode()


def _own_url(url: str, host: str) -> str:
    """`url` if it is a path of this front end, or begins with one of its origins; else the front page.

    `host`: the Host header of the request, itself checked before.
    """
    path = url
    if url.startswith(_HTTP):
        authority, slash, rest = url.removeprefix(_HTTP).partition("/")
        if not _is_own_authority(authority, host):
            return "/"
        path = f"/{rest}" if slash else "/"
    return url if _PATH.fullmatch(path) else "/"


def _is_own_authority(authority: str, host: str) -> bool:
    """The host that was asked, or another name by which browsers reach the same port of this machine."""
    theirs, ours = parse_host(authority), parse_host(host)
    if theirs is None or ours is None:
        return False
    return theirs == ours or (
        theirs[1] == ours[1] and is_loopback_name(theirs[0]) and is_loopback_name(ours[0])
    )
