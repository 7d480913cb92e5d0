"""Copies of the project, for tests that change it."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

from tests.docs.pages import ROOT


def copy_of_the_project(folder: Path) -> Path:
    """The project's files as they are now, and the environment that it was set up with."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    for name in set(listed.stdout.splitlines()):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
    (folder / ".venv").unlink(missing_ok=True)
    (folder / ".venv").symlink_to(sys.prefix)
    return folder


def lint_errors(tree: Path, *files: str) -> str:
    """What ruff would change in these files of a copy; empty if nothing."""
    said = ""
    for command in (["format", "--check"], ["check"]):
        done = subprocess.run(
            [sys.executable, "-m", "ruff", *command, "--no-cache", "--quiet", *files],
            cwd=tree,
            capture_output=True,
            text=True,
            check=False,
        )
        said += done.stdout + done.stderr if done.returncode else ""
    return said
