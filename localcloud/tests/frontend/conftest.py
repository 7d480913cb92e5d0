"""One application for all tests of the front end."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from localcloud.routing import (
    Handler,
    Kind,
    Login,
    Routes,
    ServiceRoutes,
    compile_upload,
    compile_url,
    routes,
)

from tests.frontend.harness import FrontEnd


def script(url: str, login: Login = Login.OPTIONAL, *, redirects: bool = True) -> Handler:
    return Handler(url=url, pattern=compile_url(url), login=login, redirects_to_login=redirects)


def application() -> Routes:
    static = Handler(
        url="/static",
        pattern=compile_url("/static", static_dir=True),
        kind=Kind.STATIC_DIR,
        path="assets",
        expiration_seconds=3600,
        http_headers={"X-Colour": "blue"},
    )
    secret = Handler(
        url="/private/(.*)",
        pattern=compile_url("/private/(.*)"),
        kind=Kind.STATIC_FILES,
        path=r"private/\1",
        upload=compile_upload(r"private/.*\.txt"),
        mime_type="text/x-secret",
        login=Login.REQUIRED,
    )
    default = ServiceRoutes(
        "default",
        (
            static,
            secret,
            script("/admin(/.*)?", Login.ADMIN),
            script("/mine", Login.REQUIRED),
            script("/api/mine", Login.REQUIRED, redirects=False),
            script("/.*"),
        ),
    )
    return routes([default, ServiceRoutes("worker", (script("/update-counter", Login.ADMIN),))])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The application's folder, with some files in it, and one outside that must never be served."""
    (tmp_path / "outside.txt").write_text("UNTOUCHABLE")
    app = tmp_path / "app"
    (app / "assets" / "deep").mkdir(parents=True)
    (app / "private").mkdir()
    (app / "assets" / "site.css").write_text("body{}")
    (app / "assets" / "deep" / "x.bin").write_bytes(b"\0\1")
    (app / "private" / "note.txt").write_text("a secret")
    (app / "private" / "note.key").write_text("SECRET")
    (app / "notes.txt").write_text("SECRET")
    (app / "main.py").write_text("SECRET = 1")
    (app / "assets" / "link.txt").symlink_to(tmp_path / "outside.txt")
    return app


@pytest.fixture
def start_front_end(folder: Path) -> Iterator[Callable[..., FrontEnd]]:
    with ExitStack() as running:
        yield lambda **options: running.enter_context(FrontEnd(application(), folder, **options))


@pytest.fixture
def front_end(start_front_end: Callable[..., Any]) -> FrontEnd:
    started: FrontEnd = start_front_end()
    return started
