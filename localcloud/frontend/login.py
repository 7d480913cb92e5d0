"""/_ah/login and /_ah/logout, and who may pass a handler with `login:`."""

from __future__ import annotations

from http import HTTPStatus
from urllib.parse import parse_qs, quote, urlsplit

from localcloud.frontend import pages
from localcloud.frontend.identity import COOKIE_NAME, Sessions, User, is_address
from localcloud.frontend.messages import Request, Response, redirect
from localcloud.routing import Handler, Login, is_local_name

LOGIN_PATH = "/_ah/login"
LOGOUT_PATH = "/_ah/logout"
_MAX_FORM_BYTES = 8192


def answer(request: Request, path: str, user: User | None, sessions: Sessions) -> Response:
    """The sign-in page, or what becomes of its form.

    Real service: these pages are Google's own. The dev server signs in at a GET.
    We differ: only a form of our own page signs in, and no page of another origin signs out.
    """
    query = parse_qs(request.target.partition(b"?")[2].decode("latin-1"))
    if request.method in (b"GET", b"HEAD"):
        continue_to = _local(query.get("continue", ["/"])[0])
        if path == LOGOUT_PATH and _is_same_origin(request):
            return redirect(continue_to, _cookie("", max_age_seconds=0))
        return pages.login_page(continue_to, user)
    if request.method != b"POST":
        refusal = pages.problem(request, 405, "Method not allowed", "Use the form at /_ah/login.")
        refusal.headers.append((b"Allow", b"GET, HEAD, POST"))
        return refusal
    if not _is_same_origin(request):
        return pages.problem(
            request, 403, "Refused", "This form may only be sent from the sign-in page itself (same origin)."
        )
    form = parse_qs(request.body[:_MAX_FORM_BYTES].decode("utf-8", "replace"))
    continue_to = _local(form.get("continue", query.get("continue", ["/"]))[0])
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
            url = f"http://{request.host}{request.target.decode('latin-1')}"
            return redirect(f"{LOGIN_PATH}?continue={quote(url, safe='')}")
        return pages.problem(request, 401, "Login required", f"Sign in at {LOGIN_PATH}.")
    if handler.login is Login.ADMIN and not user.is_admin:
        # Real service: an error whatever auth_fail_action says; 401 as the dev server's.
        return pages.problem(
            request,
            401,
            "Not authorized",
            f"{user.email} is signed in, but is not an administrator. Sign in as one at {LOGIN_PATH}.",
        )
    return None


def _cookie(value: str, max_age_seconds: int) -> tuple[bytes, bytes]:
    text = f"{COOKIE_NAME}={value}; Path=/; Max-Age={max_age_seconds}; HttpOnly; SameSite=Lax"
    return b"Set-Cookie", text.encode()


def _is_same_origin(request: Request) -> bool:
    """Browsers tell where a request comes from; what tells nothing is no browser."""
    site = request.header(b"sec-fetch-site")
    if site is not None:
        return site in (b"same-origin", b"none")
    origin = request.header(b"origin")
    return origin is None or urlsplit(origin.decode("latin-1")).netloc.lower() == request.host.lower()


def _local(url: str) -> str:
    """`url` if it leads to this machine, else the front page: the login page sends nobody elsewhere."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return "/"
    if any(character < " " for character in url) or "\\" in url:
        return "/"
    if not parts.scheme and not parts.netloc and url.startswith("/"):
        return url
    if parts.scheme in ("http", "https") and is_local_name(parts.netloc.rpartition("@")[2]):
        return url if "@" not in parts.netloc else "/"
    return "/"
