"""One line names what of a runtime differs from App Engine."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from localcloud.configuration import load_service
from localcloud.supervisor.runtimes import remarks


def said(folder: Path, app: str) -> list[str]:
    (folder / "app.yaml").write_text(app)
    return remarks([load_service(folder / "app.yaml")])


@pytest.mark.parametrize(
    ("app", "expected"),
    [
        ("runtime: python313\n", None),
        ("runtime: python\nenv: flex\n", "the flexible environment is not provided"),
        ("runtime: python27\n", "runtime python27 is Python 2"),
        ("runtime: nodejs20\nentrypoint: node server.js\n", "runtime nodejs20 is not Python"),
    ],
)
def test_another_runtime_is_one_line(tmp_path: Path, app: str, expected: str | None) -> None:
    lines = said(tmp_path, app)
    assert len(lines) == (expected is not None)
    if expected is not None:
        assert lines[0].startswith(f"app.yaml: {expected}")
        assert "\n" not in lines[0]


def test_bundled_services_in_use_are_named_with_what_replaces_them(tmp_path: Path) -> None:
    app = "runtime: python313\napp_engine_apis: true\n"
    (tmp_path / "main.py").write_text("import os  # google.appengine\n")
    (tmp_path / ".gcloudignore").write_text("bench/\n")
    for folder in ("bench", "env/lib/site-packages"):  # neither is deployed
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "old.py").write_text("from google.appengine.api import mail\n")
    assert said(tmp_path, app) == []

    (tmp_path / "main.py").write_text(
        "from google.appengine.api import (\n    memcache,\n    wrap_wsgi_app,\n)\n"
        "from google.appengine.ext import ndb\n"
    )
    (line,) = said(tmp_path, app)
    assert "imported by main.py" in line
    assert "for memcache: redis (Memorystore); for ndb: google-cloud-ndb" in line
    assert said(tmp_path, "runtime: python313\n") == []


def test_what_services_have_in_common_is_said_once(tmp_path: Path) -> None:
    services = []
    for name in ("one", "two"):
        (tmp_path / f"{name}.yaml").write_text(f"runtime: python27\nservice: {name}\n")
        services.append(load_service(tmp_path / f"{name}.yaml"))
    (line,) = remarks(services)
    assert line.startswith("one.yaml, two.yaml: runtime python27 is Python 2")


def test_windows_is_told_that_it_needs_wsl() -> None:
    done = subprocess.run(
        [sys.executable, "-c", "import sys; sys.platform = 'win32'; import localcloud"],
        cwd=Path(__file__).parents[2] / "src",
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "ImportError: localcloud runs on Linux and macOS" in done.stderr
    assert "WSL 2" in done.stderr
