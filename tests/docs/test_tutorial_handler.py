"""The tutorial's handler, written from its page alone in a copy of the project, does what the page says."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.request import Request, urlopen

import pytest
from localcloud.testing import LocalCloud

from tests.docs.pages import ROOT, Block, assert_prints, blocks_of, run, write

PAGE = ROOT / "docs" / "tutorial" / "4-your-own-handler.md"


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
    (folder / ".venv").symlink_to(sys.prefix)
    return folder


@pytest.fixture(scope="module")
def blocks() -> list[Block]:
    return blocks_of(PAGE)


@pytest.fixture(scope="module")
def fork(tmp_path_factory: pytest.TempPathFactory, blocks: list[Block]) -> Path:
    folder = copy_of_the_project(tmp_path_factory.mktemp("fork"))
    for block in blocks:
        if block.mark in ("file", "edit"):
            write(block, folder)
    return folder


@pytest.fixture(scope="module")
def shared_cloud(fork: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalCloud]:
    files = ("app.yaml", "worker.yaml", "queue.yaml", "index.yaml")
    with LocalCloud(files, root=fork, data=tmp_path_factory.mktemp("data")) as cloud:
        yield cloud


@pytest.fixture
def cloud(shared_cloud: LocalCloud) -> Iterator[LocalCloud]:
    with shared_cloud.for_one_test() as cloud:
        yield cloud


def test_the_handler_is_about_twenty_lines(blocks: list[Block]) -> None:
    [handler] = [block for block in blocks if block.path == "worker/note_values.py"]
    lines = handler.text.partition("class NoteReadingHandler")[2].splitlines()

    assert len([line for line in lines if line.strip()]) <= 25


@pytest.mark.timeout(180)
def test_its_own_tests_pass_and_the_yaml_files_are_in_order(fork: Path, blocks: list[Block]) -> None:
    tests = next(block for block in blocks if block.mark == "run")

    assert " passed" in run(tests, fork, {"PYTEST_ADDOPTS": "-p no:cacheprovider"}, {'ARGS="': 'ARGS="-n 0 '})


def test_its_code_is_in_the_projects_format(fork: Path) -> None:
    files = ["worker/note_values.py", "worker/application.py", "tests/worker/test_note_values.py"]
    for command in (["check"], ["format", "--check"]):
        subprocess.run([sys.executable, "-m", "ruff", *command, "--no-cache", *files], cwd=fork, check=True)


@pytest.mark.timeout(180)
def test_its_tasks_are_applied_and_rejected_and_the_dashboard_shows_them(
    cloud: LocalCloud, fork: Path, blocks: list[Block]
) -> None:
    enqueue, ask = [block for block in blocks if block.mark == "run"][1:]
    [answer] = [block for block in blocks if block.mark == "prints"]
    addresses = {
        "DATASTORE_EMULATOR_HOST": cloud.datastore_address,
        "CLOUD_TASKS_EMULATOR_HOST": cloud.tasks_address,
        "GOOGLE_CLOUD_PROJECT": "local-project",
        "LOCATION_ID": "us-central1",
    }

    run(enqueue, fork, addresses, {})
    cloud.wait_idle(30)
    assert_prints(answer.text, run(ask, fork, {}, {"localhost:8080": cloud.url.removeprefix("http://")}))

    def shown(path: str) -> str:
        request = Request(cloud.url + path, headers={"Cookie": cloud.sign_in()})
        with urlopen(request, timeout=30) as answer:
            return str(answer.read().decode())

    statistics = json.loads(shown("/admin/statistics.json"))
    assert "note-reading" in [each["handler"] for each in statistics["handlers"]]
    assert "degrees: expected a whole number from -273 to 1000" in shown("/admin")
    assert "readings" in shown("/admin")
    assert 'handler="note-reading"} 1' in shown("/admin/metrics")
    assert "by-me-1,note-reading,rejected" in shown("/admin/kept.csv")
