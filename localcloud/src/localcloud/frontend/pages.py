"""The few pages that the front end writes itself: sign-in, and what went wrong."""

from __future__ import annotations

from html import escape

from localcloud.frontend.identity import User
from localcloud.frontend.messages import Request, Response, html_response, text_response

_STYLE = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:36rem;margin:3rem auto;padding:0 1rem}"
    "label{display:block;margin:.75rem 0}input[type=email]{font:inherit;padding:.3rem;width:100%;"
    "box-sizing:border-box}button{font:inherit;padding:.3rem 1rem}"
    "@media(prefers-color-scheme:dark){body{background:#16181c;color:#e6e6e6}a{color:#8ab4f8}}"
)
# Nothing on these pages loads or runs anything; no page of another origin may frame them.
_SAFE = (
    (
        b"Content-Security-Policy",
        b"default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; frame-ancestors 'none'",
    ),
    (b"Cache-Control", b"no-store"),
)


def login_page(continue_to: str, user: User | None, problem: str = "") -> Response:
    """The form that stands in for Google's sign-in."""
    rights = " as an administrator" if user and user.is_admin else ""
    email = escape(user.email if user else "test@example.com")
    state = (
        f"<p>Signed in as <strong>{escape(user.email)}</strong>{rights}.</p>"
        '<form method="post" action="/_ah/logout">'
        f'<input type="hidden" name="continue" value="{escape(continue_to)}">'
        "<button>Sign out</button></form>"
        if user
        else "<p>Not signed in.</p>"
    )
    warning = f'<p role="alert"><strong>{escape(problem)}</strong></p>' if problem else ""
    return _page(
        400 if problem else 200,
        "Sign in",
        f"""{state}{warning}
<form method="post" action="/_ah/login">
<input type="hidden" name="continue" value="{escape(continue_to)}">
<label>Email address
<input type="email" name="email" value="{email}" required></label>
<label><input type="checkbox" name="admin" value="True"{" checked" if user and user.is_admin else ""}>
Sign in as an administrator</label>
<button>Sign in</button>
</form>
<p>This page stands in for Google's sign-in on this machine. Any address will do.</p>""",
    )


def problem(request: Request, status: int, title: str, text: str) -> Response:
    """What went wrong: a page for a browser, a line of text for everything else."""
    if b"text/html" in (request.header(b"accept") or b""):
        return _page(status, title, f"<p>{escape(text)}</p>")
    return text_response(status, f"{title}: {text}", (b"Cache-Control", b"no-store"))


def _page(status: int, title: str, body: str) -> Response:
    html = (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{escape(title)}</title>'
        f'<meta name="viewport" content="width=device-width"><style>{_STYLE}</style>'
        f"<h1>{escape(title)}</h1>\n{body}\n</html>\n"
    )
    return html_response(status, html, *_SAFE)
