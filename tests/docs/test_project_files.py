"""What tells people and machines how to work on the project says the same as the Makefile."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from tests.docs.pages import ROOT, blocks_of

MAKEFILE = (ROOT / "Makefile").read_text()
PAGES = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")]


def test_ci_runs_the_two_commands_on_every_python_that_is_supported() -> None:
    workflow = YAML(typ="safe").load((ROOT / ".github" / "workflows" / "check.yml").read_text())
    job = workflow["jobs"]["check"]
    commands = [step["run"] for step in job["steps"] if "run" in step]

    assert [command.split()[:2] for command in commands[-2:]] == [["make", "check"], ["make", "test"]]
    assert job["strategy"]["matrix"]["python"] == ["3.11", "3.12", "3.13"]
    assert tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["requires-python"] == ">=3.11"


def test_the_workflows_call_targets_that_there_are() -> None:
    for file in (ROOT / ".github" / "workflows").glob("*.yml"):
        jobs = YAML(typ="safe").load(file.read_text())["jobs"].values()
        commands = [step["run"] for job in jobs for step in job["steps"] if "run" in step]
        assert commands
        for target in re.findall(r"^make ([a-z-]+)", "\n".join(commands), re.MULTILINE):
            assert re.search(rf"^{target}:", MAKEFILE, re.MULTILINE), target


def test_deploying_from_github_is_off_until_it_is_configured_and_stages_first() -> None:
    workflow = YAML(typ="safe").load((ROOT / ".github" / "workflows" / "deploy.yml").read_text())
    job = workflow["jobs"]["deploy"]
    commands = [step["run"].split()[1] for step in job["steps"] if "run" in step]

    assert job["if"] == "vars.GCP_PROJECT != ''"
    assert commands == ["deploy", "smoke", "promote", "smoke"]


def test_the_templates_and_the_update_service_are_readable() -> None:
    for file in [*(ROOT / ".github").glob("*.yml"), *(ROOT / ".github" / "ISSUE_TEMPLATE").glob("*.yml")]:
        assert YAML(typ="safe").load(file.read_text()), file


def test_the_hook_repeats_make_check_and_nothing_else() -> None:
    hooks = YAML(typ="safe").load((ROOT / ".pre-commit-config.yaml").read_text())

    assert [hook["entry"] for repo in hooks["repos"] for hook in repo["hooks"]] == ["make check"]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_make_target_that_a_page_names_exists(page: Path) -> None:
    shell = "\n".join(block.text for block in blocks_of(page) if block.language == "sh")
    named = re.findall(r"`make ([a-z]+)\b", page.read_text()) + re.findall(r"^make ([a-z]+)\b", shell, re.M)
    for target in named:
        assert re.search(rf"^{target}:", MAKEFILE, re.MULTILINE), target


@pytest.mark.parametrize(
    "page",
    sorted(
        str(page.relative_to(ROOT))
        for page in PAGES
        if "tutorial" not in page.parts and page.name not in ("CHANGELOG.md", "differences.md")
    ),
)
def test_every_file_of_ours_that_a_page_names_is_there(page: str) -> None:
    text = (ROOT / page).read_text()

    for name in re.findall(
        r"`((?:counters|default|worker|pushtasks|localcloud|bench|deploy|tests)/[\w./-]*)`", text
    ):
        assert (ROOT / name).exists(), name


def test_the_contributors_page_fits_on_a_screen() -> None:
    assert len((ROOT / "CONTRIBUTING.md").read_text().splitlines()) <= 45
