"""`make rename NAME=...` leaves a tree of that name, whose tests pass."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from deploy.rename import CannotRename, current_names, parse_name, rename
from tests.docs.pages import MAKE, ROOT
from tests.docs.test_tutorial_handler import copy_of_the_project

NAME = "ticket-office-berlin"
"""As long as a name may be, so that no line gets too long by a shorter one."""

FAST_TESTS = (
    "tests/counters/test_settings.py",
    "tests/counters/test_naming.py",
    "tests/counters/test_enqueueing.py",
    "tests/deploy/test_deploying.py",
    "tests/deploy/test_undeploying.py",
    "tests/test_architecture.py",
    "tests/test_readme.py",
    "tests/test_yaml_files.py",
    "tests/worker/test_update_counter.py",
)


@pytest.fixture(scope="module")
def renamed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = copy_of_the_project(tmp_path_factory.mktemp("renamed"))
    subprocess.run(["git", "init", "--quiet"], cwd=folder, check=True)
    done = subprocess.run(
        [*MAKE, "rename", f"NAME={NAME}"], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return folder


def test_the_old_name_is_gone_and_the_new_one_everywhere(renamed: Path) -> None:
    project, prefix = current_names(ROOT)
    old = re.compile(rf"{project}\b(?!\.)|\b{prefix}-updates|\b{prefix.upper().replace('-', '_')}_[A-Z]")
    left = [
        str(path.relative_to(renamed))
        for path in renamed.rglob("*")
        if path.suffix in (".py", ".yaml", ".md", ".toml", ".html")
        and not path.is_relative_to(renamed / ".venv")
        and not path.is_relative_to(renamed / "localcloud")
        and path.name not in ("rename.py", "CHANGELOG.md")
        and old.search(path.read_text())
    ]

    assert left == []
    assert current_names(renamed) == (NAME, NAME)
    assert (renamed / "README.md").read_text().startswith("# Ticket office berlin: ")
    assert f"- name: {NAME}-updates-0" in (renamed / "queue.yaml").read_text()
    assert "`TICKET_OFFICE_BERLIN_QUEUES`" in (renamed / "README.md").read_text()


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_the_renamed_trees_tests_pass(renamed: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-n", "0", *FAST_TESTS],
        cwd=renamed,
        env={name: value for name, value in os.environ.items() if name != "PYTHONPATH"},
        capture_output=True,
        text=True,
        timeout=150,
    )

    assert done.returncode == 0, done.stdout[-3000:]


def test_the_renamed_tree_is_in_the_projects_format(renamed: Path) -> None:
    status = subprocess.run(["diff", "-rq", ROOT, renamed], capture_output=True, text=True, check=False)
    changed = re.findall(rf"^Files {ROOT}/(\S+\.py) and .* differ$", status.stdout, re.MULTILINE)
    assert changed
    for command in (["format", "--check"], ["check"]):
        done = subprocess.run(
            [sys.executable, "-m", "ruff", *command, "--no-cache", "--quiet", *changed],
            cwd=renamed,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout


def test_a_renamed_tree_can_be_renamed_again(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text('[project]\nname = "ticket-office"\n')
    (tmp_path / "queue.yaml").write_text("- name: ticket-office-updates-0  # TICKET_OFFICE_QUEUES\n")
    subprocess.run(["git", "init", "--quiet"], cwd=tmp_path, check=True)

    assert rename(tmp_path, "till") == ["pyproject.toml", "queue.yaml"]
    assert (tmp_path / "queue.yaml").read_text() == "- name: till-updates-0  # TILL_QUEUES\n"


@pytest.mark.parametrize(
    "name", ["", "Till", "9lives", "a--b", "-a", "a-", "counter", "localcloud", "a" * 21]
)
def test_a_name_that_nothing_can_have_is_refused(name: str) -> None:
    with pytest.raises(CannotRename, match="Expected 1 to 20"):
        parse_name(name)


def test_a_name_that_the_project_uses_for_something_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text('[project]\nname = "ticket-office"\n')
    (tmp_path / "queue.yaml").write_text("- name: ticket-office-updates-0\n  target: worker\n")
    subprocess.run(["git", "init", "--quiet"], cwd=tmp_path, check=True)

    with pytest.raises(CannotRename, match="a word that the project uses already .in queue.yaml"):
        rename(tmp_path, "worker")

    assert "ticket-office" in (tmp_path / "pyproject.toml").read_text()


def test_the_readme_lists_every_name_that_a_fork_changes() -> None:
    section = (ROOT / "README.md").read_text().partition("## Make it yours")[2].partition("\n## ")[0]
    _, prefix = current_names(ROOT)

    for name in (f"{prefix}-updates", f"{prefix.upper().replace('-', '_')}_", "pyproject.toml", "README.md"):
        assert name in section
