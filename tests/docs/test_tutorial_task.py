"""The tutorial's task, written from its page alone in a copy of the project, does what the page says."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.request import Request, urlopen

import pytest
from localcloud.testing import LocalCloud

from tests.docs.pages import ROOT, Block, assert_prints, blocks_of, run, write
from tests.docs.trees import copy_of_the_project, lint_errors

PAGE = ROOT / "docs" / "tutorial" / "4-your-own-task.md"


@pytest.fixture(scope="module")
def blocks() -> list[Block]:
    return blocks_of(PAGE)


@pytest.fixture(scope="module")
def written(blocks: list[Block]) -> list[Block]:
    return [block for block in blocks if block.mark in ("file", "edit")]


@pytest.fixture(scope="module")
def fork(tmp_path_factory: pytest.TempPathFactory, written: list[Block]) -> Path:
    folder = copy_of_the_project(tmp_path_factory.mktemp("fork"))
    for block in written:
        write(block, folder)
    return folder


@pytest.fixture(scope="module")
def cloud(fork: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalCloud]:
    files = ("app.yaml", "worker.yaml", "queue.yaml", "index.yaml")
    with LocalCloud(files, root=fork, data=tmp_path_factory.mktemp("data")) as cloud:
        yield cloud


def test_what_has_to_be_typed_fits_into_twenty_minutes(written: list[Block]) -> None:
    added = [
        line
        for block in written
        for line in block.text.splitlines()
        if line.strip() and (block.mark == "file" or line.startswith("+"))
    ]

    assert len([block for block in written if block.mark == "file"]) == 5
    assert len({block.path for block in written if block.mark == "edit"}) == 4
    assert len(added) <= 260


def test_a_tree_that_has_taken_the_step_is_left_as_it_is(fork: Path, written: list[Block]) -> None:
    before = {block.path: (fork / block.path).read_text() for block in written}
    for block in written:
        write(block, fork)

    assert {path: (fork / path).read_text() for path in before} == before


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_its_own_tests_pass_and_the_yaml_files_are_in_order(fork: Path, blocks: list[Block]) -> None:
    tests = next(block for block in blocks if block.mark == "run")

    assert " passed" in run(tests, fork, {"PYTEST_ADDOPTS": "-p no:cacheprovider"}, {'ARGS="': 'ARGS="-n 0 '})


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_its_code_is_in_the_projects_format_and_its_types_are_sound(
    fork: Path, written: list[Block], tmp_path: Path
) -> None:
    files = sorted({block.path for block in written if block.path.endswith(".py")})
    types = subprocess.run(
        [sys.executable, "-m", "mypy", "--cache-dir", str(tmp_path), *files],
        cwd=fork,
        capture_output=True,
        text=True,
        check=False,
    )

    assert lint_errors(fork, *files) == ""
    assert types.returncode == 0, types.stdout


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_the_commands_print_what_the_page_says_and_the_dashboard_shows_it(
    cloud: LocalCloud, fork: Path, blocks: list[Block]
) -> None:
    commands = [block for block in blocks if block.mark == "run"][1:]
    printed = [block for block in blocks if block.mark == "prints"]
    replacing = {
        "localhost:8080": cloud.url.removeprefix("http://"),
        "sleep 8": "true",
        ".localcloud/": f"{cloud.data}/",
    }

    for command, expected in zip(commands, printed, strict=True):
        text = expected.text.replace("localhost:8080", replacing["localhost:8080"])
        assert_prints(text, run(command, fork, {}, replacing))
        cloud.wait_idle(60)

    def shown(path: str) -> str:
        request = Request(cloud.url + path, headers={"Cookie": cloud.sign_in()})
        with urlopen(request, timeout=30) as answer:
            return str(answer.read().decode())

    statistics = json.loads(shown("/admin/statistics.json"))
    assert {"donate", "send-receipt"} <= {each["handler"] for each in statistics["handlers"]}
    assert statistics["panels"]["causes"] == [{"name": "forest", "donations": 2, "euros": 27}]
    page = shown("/admin")
    assert "gave up: OSError" in page
    assert re.search(r'<th scope="row">forest</th>\s*<td class="num">2</td>', page)
    assert "receipts" in page
    assert "send-receipt,gave-up" in shown("/admin/kept.csv")
