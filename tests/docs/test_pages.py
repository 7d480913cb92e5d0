"""The tools of these tests: what a page's commands find in their environment, and how a change is made."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.docs.pages import Block, run, write


def test_a_make_inside_the_tests_does_not_get_the_arguments_of_the_make_around_them(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("MAKEFLAGS", " -- ARGS=tests/docs N=3")
    monkeypatch.setenv("ARGS", "tests/docs")
    (tmp_path / "Makefile").write_text('show:\n\t@echo "arguments:$(ARGS) "\n')

    printed = run(Block("run", "", "sh", "make show\n"), tmp_path, {}, {})

    assert printed.strip() == "arguments:"


def test_a_change_is_made_once(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("import b\nimport c\n")
    change = Block("edit", "a.py", "diff", "+import a\n import b\n")

    for _ in range(2):
        write(change, tmp_path)

    assert (tmp_path / "a.py").read_text() == "import a\nimport b\nimport c\n"
