"""Which changed files make a service start again."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from localcloud.supervisor.file_watch import FileWatch


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in (
        "main.py",
        "app.yaml",
        "templates/page.html",
        "tests/test_x.py",
        "static/site.html",
        ".hidden/x.py",
    ):
        file = tmp_path / name
        file.parent.mkdir(exist_ok=True)
        file.write_text("1")
    (tmp_path / ".gcloudignore").write_text("# not uploaded\n\ntests/\n*.txt\n!keep.py\nsome/path\n")
    return tmp_path


def later(file: Path) -> None:
    file.write_text("2")
    os.utime(file, ns=(0, file.stat().st_mtime_ns + 1_000_000_000))


def names(watch: FileWatch) -> list[str]:
    return [str(path.relative_to(watch.folder)) for path in watch.changed()]


@pytest.mark.parametrize("name", ["main.py", "app.yaml", "templates/page.html"])
def test_programs_templates_and_yaml_files_count(folder: Path, name: str) -> None:
    watch = FileWatch.over(folder, [])
    later(folder / name)
    assert names(watch) == [name]
    assert names(watch) == []


@pytest.mark.parametrize("name", ["tests/test_x.py", "static/site.html", ".hidden/x.py"])
def test_what_is_not_uploaded_or_served_by_the_platform_does_not(folder: Path, name: str) -> None:
    watch = FileWatch.over(folder, [folder / "static"])
    later(folder / name)
    assert names(watch) == []


def test_other_kinds_of_files_do_not(folder: Path) -> None:
    watch = FileWatch.over(folder, [])
    (folder / "notes.md").write_text("x")
    (folder / "main.pyc").write_text("x")
    assert names(watch) == []


def test_new_and_removed_files_count(folder: Path) -> None:
    watch = FileWatch.over(folder, [])
    (folder / "new.py").write_text("x")
    (folder / "main.py").unlink()
    assert names(watch) == ["main.py", "new.py"]


def test_a_folder_without_a_gcloudignore_is_watched_whole(folder: Path) -> None:
    (folder / ".gcloudignore").unlink()
    watch = FileWatch.over(folder, [])
    later(folder / "tests" / "test_x.py")
    assert names(watch) == ["tests/test_x.py"]
