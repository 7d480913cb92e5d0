"""`make bare NAME=my-service`: remove the counters, and leave a service with one tiny kind of task.

What stays is `pushtasks/`, `localcloud/`, the wiring of both services, deployment and the tests of these.
What takes the counters' place is in deploy/bare_tree, written over the tree. Then everything gets your name.
"""

from __future__ import annotations

import ast
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from deploy.rename import ROOT, CannotRename, current_names, parse_name, rename

OVERLAY = "deploy/bare_tree"

REMOVED = (
    # The domain, its pages and its measurements.
    "counters",
    "templates",
    "static",
    "bench",
    "docs",
    "default/api.py",
    "default/batch.py",
    "default/counter_charts.py",
    "default/panel.py",
    "default/public.py",
    "default/rights.py",
    "default/service.py",
    "worker/update_counter.py",
    # Tests of these, and of pages about them.
    "tests/bench",
    "tests/browser",
    "tests/counters",
    "tests/default",
    "tests/docs",
    "tests/exactness",
    "tests/guestbook",
    "tests/test_engine_alone.py",
    "tests/worker",
    "tests/pushtasks/test_settings.py",
    "tests/test_fork.py",
    "tests/test_readme.py",
    # This program.
    "deploy/bare.py",
    OVERLAY,
)

TARGETS_REMOVED = ("load", "demo", "screenshots", "bench", "bench-quick", "conformance", "bare")

IN_PYTHON = (
    (re.compile(r"\bcounters\.(settings|tasks)\b"), r"guests.\1"),
    (re.compile(r"\bCounterSettings\b"), "GuestSettings"),
)
"""Applied to every Python file that stays."""

EDITS = (
    ("pyproject.toml", r'"counters", ', '"guests", '),
    ("pyproject.toml", r"{counters,", "{guests,"),
    ("pyproject.toml", r', "deploy/bare_tree"|exclude = ".deploy/bare_tree/"\n', ""),
    ("pyproject.toml", r'"bench", ', ""),
    ("pyproject.toml", r'(?m)^version = ".*"$', 'version = "0.1.0"'),
    ("pyproject.toml", r'(?m)^description = ".*"$', 'description = "A task-driven service on App Engine."'),
    ("default/__init__.py", r"\bcounters\b", "guests"),
    ("worker/__init__.py", r"\bcounters\b", "guests"),
    (
        "worker.yaml",
        r"(?m)^# The worker service: .*$",
        "# The worker service: Cloud Tasks delivers tasks here.",
    ),
    ("deploy/deployment.py", r"(?m)^ +worker = places\.service_name.*\n", ""),
    ("deploy/deployment.py", r'(?m)^ +\("by hand", .*\n', ""),
    ("tests/deploy/test_deploying.py", r"(?m)^.*/update-counter.*\n", ""),
    ("Makefile", r"tests/counters -k keyed", "tests/test_guests.py -k form"),
    ("Makefile", r"send one increment twice to", "send one guest twice to"),
    ("Makefile", r"see it counted once", "see it welcomed once"),
    ("tests/test_architecture.py", r'"counters"', '"guests"'),
)
"""File, pattern, replacement."""


def make_bare(root: Path, name: str) -> list[str]:
    """Do it; the tests that went because they were about the counters. Raises CannotRename."""
    if _git(root, "status", "--porcelain", "--untracked-files=no").strip():
        raise CannotRename(
            "There are changes that are not committed, and files will be removed. Commit first."
        )
    overlay = root / OVERLAY
    laid = {path.relative_to(overlay): path.read_bytes() for path in overlay.rglob("*") if path.is_file()}
    for path in [root / each for each in REMOVED]:
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
    for file, content in laid.items():
        (root / file).parent.mkdir(parents=True, exist_ok=True)
        (root / file).write_bytes(content)
    for path in _python_files(root):
        _edit(path, IN_PYTHON)
    for file_name, pattern, new in EDITS:
        _edit(root / file_name, [(re.compile(pattern), new)])
    for target in TARGETS_REMOVED:
        _edit(root / "Makefile", [(re.compile(rf"(?m)^{target}:.*\n(?:\t.*\n)*\n?"), "")])
        _edit(root / "Makefile", [(re.compile(rf"(?m)^(\.PHONY:.*?) {target}(?= |$)"), r"\1")])
    gone = _remove_tests_without_a_subject(root)
    rename(root, name)
    return gone


def _remove_tests_without_a_subject(root: Path) -> list[str]:
    """Remove each test that imports what is gone, and those that import such a test."""
    gone: list[str] = []
    while found := [path for path in _python_files(root, "tests") if _imports_what_is_gone(root, path)]:
        for path in found:
            path.unlink()
            gone.append(str(path.relative_to(root)))
    return sorted(gone)


def _imports_what_is_gone(root: Path, path: Path) -> bool:
    ours = {"counters", "bench", "default", "worker", "deploy", "guests", "tests"}
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            modules = [node.module]
        elif isinstance(node, ast.Import):
            modules = [alias.name for alias in node.names]
        else:
            continue
        for module in modules:
            place = root.joinpath(*module.split("."))
            is_there = place.is_dir() or place.with_suffix(".py").is_file()
            if module.partition(".")[0] in ours and not is_there:
                return True
            if module == "deploy.smoke" and any(alias.name != "smoke" for alias in node.names):
                return True  # the counters' smoke test had more
    return False


def _python_files(root: Path, folder: str = "") -> Iterator[Path]:
    """Those that are the fork's own."""
    listed = _git(root, "ls-files", "--cached", "--others", "--exclude-standard", "--", "*.py").splitlines()
    for name in listed:
        is_own = not name.startswith(("localcloud/", "pushtasks/", "deploy/rename.py"))
        if name.startswith(folder) and is_own and (root / name).is_file():
            yield root / name


def _edit(path: Path, replacements: Sequence[tuple[re.Pattern[str], str]]) -> None:
    if path.is_file():
        before = after = path.read_text(encoding="utf-8")
        for pattern, new in replacements:
            after = pattern.sub(new, after)
        if after != before:
            path.write_text(after, encoding="utf-8")


def _git(root: Path, *arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=root, capture_output=True, text=True, check=False)
    if done.returncode:
        raise CannotRename(
            f"{root} is not a git checkout. Make it one first: git init && git add . && git commit"
        )
    return done.stdout


def main(arguments: Sequence[str]) -> int:
    """The exit status: 0 when done, 1 when it could not be."""
    try:
        name = parse_name(arguments[0] if arguments else "")
        gone = make_bare(ROOT, name)
    except CannotRename as reason:
        print(f"bare: {reason}", file=sys.stderr)
        return 1
    subprocess.run([sys.executable, "-m", "ruff", "check", "--fix", "--quiet", "."], cwd=ROOT, check=False)
    subprocess.run([sys.executable, "-m", "ruff", "format", "--quiet", "."], cwd=ROOT, check=False)
    project, _ = current_names(ROOT)
    print(
        f"The counters are gone; {project} has one kind of task, in guests/tasks.py. "
        "These tests went with them:"
    )
    for file in gone:
        print(f"  {file}")
    print("Look at it with `git status`, then: make run, make test. Nothing is committed yet.")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
