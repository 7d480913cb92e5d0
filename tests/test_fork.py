"""`make rename NAME=...` and `make bare NAME=...` leave a tree of that name, whose tests pass."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from deploy.bare import EDITS, TARGETS_REMOVED, make_bare
from deploy.rename import CannotRename, current_names, parse_name, rename
from tests.docs.pages import MAKE, ROOT, own_environ
from tests.docs.trees import copy_of_the_project, lint_errors

NAME = "ticket-office-berlin"
"""As long as a name may be, so that no line gets too long by a shorter one."""

TESTS_OF_A_RENAMED_TREE = (
    "tests/counters",
    "tests/pushtasks/test_settings.py",
    "tests/pushtasks/test_names.py",
    "tests/deploy/test_deploying.py",
    "tests/deploy/test_undeploying.py",
    "tests/test_architecture.py",
    "tests/test_readme.py",
    "tests/test_yaml_files.py",
)
TESTS_OF_A_BARE_TREE = (
    "tests/test_guests.py",
    "tests/pushtasks/test_testing.py",
    "tests/deploy/test_deploying.py",
    "tests/deploy/test_undeploying.py",
    "tests/test_architecture.py",
    "tests/test_yaml_files.py",
)
"""A few that take seconds each; the workflow runs more of them, outside of pytest."""

PROJECT, PREFIX = current_names(ROOT)
OLD_NAMES = re.compile(rf"\b{PROJECT}\b(?!\.)|\b{PREFIX}-updates|\b{PREFIX.upper().replace('-', '_')}_")


def forked(folder: Path, target: str) -> Path:
    """A committed copy of the project, after `make TARGET`."""
    copy_of_the_project(folder)
    as_somebody = ["-c", "user.name=somebody", "-c", "user.email=somebody@example.com"]
    for command in (["init", "--quiet"], ["add", "--all"], [*as_somebody, "commit", "--quiet", "-m", "all"]):
        subprocess.run(["git", *command], cwd=folder, check=True)
    done = subprocess.run(
        [*MAKE, target, f"NAME={NAME}"],
        cwd=folder,
        env=own_environ(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture(scope="module")
def renamed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return forked(tmp_path_factory.mktemp("renamed"), "rename")


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return forked(tmp_path_factory.mktemp("bare"), "bare")


def texts_of(tree: Path) -> dict[str, str]:
    """The fork's own files: not what it keeps as it is, nor what describes the past."""
    kept = ("localcloud/", "pushtasks/", "deploy/rename.py", "CHANGELOG.md", ".venv", ".git/")
    names = [str(path.relative_to(tree)) for path in tree.rglob("*") if ".venv" not in path.parts]
    return {
        name: (tree / name).read_text()
        for name in names
        if name.endswith((".py", ".yaml", ".md", ".toml", ".html", "Makefile")) and not name.startswith(kept)
    }


def run_tests(tree: Path, *tests: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-n", "0", *tests],
        cwd=tree,
        env=own_environ(),
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )

    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-1000:]


def test_the_old_name_is_gone_and_the_new_one_everywhere(renamed: Path) -> None:
    left = [name for name, text in texts_of(renamed).items() if OLD_NAMES.search(text)]

    assert left == []
    assert current_names(renamed) == (NAME, NAME)
    assert (renamed / "README.md").read_text().startswith("# Ticket office berlin: ")
    assert f"- name: {NAME}-updates-0" in (renamed / "queue.yaml").read_text()
    assert "`TICKET_OFFICE_BERLIN_SLOTS`" in (renamed / "README.md").read_text()


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_the_renamed_trees_tests_pass(renamed: Path) -> None:
    run_tests(renamed, *TESTS_OF_A_RENAMED_TREE)


def test_what_a_fork_keeps_is_not_touched(renamed: Path, bare: Path) -> None:
    for tree in (renamed, bare):
        status = subprocess.run(
            ["git", "status", "--porcelain", "--", "pushtasks", "localcloud"],
            cwd=tree,
            capture_output=True,
            text=True,
            check=True,
        )
        assert status.stdout == ""


def test_the_forks_are_in_the_projects_format(renamed: Path, bare: Path) -> None:
    for tree in (renamed, bare):
        assert lint_errors(tree, ".") == ""


def test_drawings_are_as_straight_as_before(renamed: Path) -> None:
    for page in ("README.md", "docs/architecture.md"):
        before, after = (
            [len(line) for line in (tree / page).read_text().splitlines() if "│" in line]
            for tree in (ROOT, renamed)
        )
        assert before == after, page


def test_nothing_of_the_counters_is_left_in_a_bare_tree(bare: Path) -> None:
    words = re.compile(r"\bcounters?\b|increment|update-counter", re.IGNORECASE)
    own = {
        name: text
        for name, text in texts_of(bare).items()
        if not name.startswith(("tests/pushtasks", "tests/test_architecture.py", "stubs/"))
    }

    assert {name: words.findall(text) for name, text in own.items() if words.search(text)} == {}
    assert current_names(bare) == (NAME, NAME)
    assert 'prefix: ClassVar[str] = "TICKET_OFFICE_BERLIN_"' in own["guests/settings.py"]


def test_a_bare_trees_pages_lead_somewhere(bare: Path) -> None:
    for page in [*bare.glob("*.md"), *bare.glob("docs/*.md")]:
        for target in re.findall(r"\]\(([^)#:]+)[^):]*\)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name}: {target}"


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_bare_trees_tests_pass(bare: Path) -> None:
    run_tests(bare, *TESTS_OF_A_BARE_TREE)


def test_all_that_is_to_be_changed_is_there() -> None:
    makefile = (ROOT / "Makefile").read_text()

    assert [target for target in TARGETS_REMOVED if not re.search(rf"^{target}:", makefile, re.M)] == []
    assert [
        (file, pattern) for file, pattern, _ in EDITS if not re.search(pattern, (ROOT / file).read_text())
    ] == []


def test_work_that_is_not_committed_is_not_removed(tmp_path: Path) -> None:
    (tmp_path / "counters").mkdir()
    (tmp_path / "counters" / "mine.py").write_text("")
    for command in (["init", "--quiet"], ["add", "--all"]):
        subprocess.run(["git", *command], cwd=tmp_path, check=True)

    with pytest.raises(CannotRename, match="Commit first"):
        make_bare(tmp_path, "till")

    assert (tmp_path / "counters" / "mine.py").exists()


def test_a_renamed_tree_can_be_renamed_again(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text('[project]\nname = "ticket-office"\n')
    (tmp_path / "queue.yaml").write_text(
        "- name: ticket-office-updates-0  # `TICKET_OFFICE_` TICKET_OFFICE_X\n"
    )
    subprocess.run(["git", "init", "--quiet"], cwd=tmp_path, check=True)

    assert rename(tmp_path, "till") == ["pyproject.toml", "queue.yaml"]
    assert (tmp_path / "queue.yaml").read_text() == "- name: till-updates-0  # `TILL_` TILL_X\n"


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
