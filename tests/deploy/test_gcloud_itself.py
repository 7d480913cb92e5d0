"""What the scripts call is what the gcloud that is installed here offers, by its own help and parsers."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

from deploy.deployment import Deployment
from deploy.gcloud import Gcloud
from deploy.traffic import move
from deploy.undeploy import Undeployment
from tests.deploy.conftest import ROOT

GCLOUD = shutil.which("gcloud")
pytestmark = pytest.mark.skipif(GCLOUD is None, reason="gcloud is not installed here")

COMMANDS = (
    "alpha monitoring policies create",
    "alpha monitoring policies list",
    "app create",
    "app deploy",
    "app describe",
    "app services delete",
    "app services list",
    "app services set-traffic",
    "app versions delete",
    "app versions describe",
    "app versions list",
    "auth list",
    "beta monitoring channels create",
    "beta monitoring channels list",
    "billing projects describe",
    "datastore indexes create",
    "firestore databases create",
    "firestore databases delete",
    "firestore databases describe",
    "firestore fields ttls list",
    "firestore fields ttls update",
    "monitoring uptime create",
    "monitoring uptime list-configs",
    "projects add-iam-policy-binding",
    "projects describe",
    "services enable",
    "tasks queues delete",
    "tasks queues list",
    "tasks queues pause",
    "tasks queues resume",
)


SDK = Path(str(GCLOUD)).resolve().parent.parent
LIBRARY = SDK / "lib"
if not (LIBRARY / "googlecloudsdk").is_dir():
    LIBRARY = Path()

_ALL_HELP = """
import sys
from googlecloudsdk import gcloud_main
cli = gcloud_main.CreateCLI([])
for command in sys.argv[2:]:
    print("@@", command, flush=True)
    try:
        cli.Execute([*command.split(), "--help"])
    except SystemExit:
        sys.stdout.flush()
"""


def in_gcloud(program: str, *arguments: str) -> str:
    """What a program says that runs inside gcloud, with its own Python. Skips where that can't be."""
    if not LIBRARY.name:
        pytest.skip(f"gcloud's own code is not in {SDK}/lib")
    bundled = SDK / "platform" / "bundledpythonunix" / "bin" / "python3"
    paths = 'import sys\nsys.path[:0] = [sys.argv[1], sys.argv[1] + "/third_party"]\n'
    done = subprocess.run(
        [str(bundled) if bundled.exists() else "python3", "-c", paths + program, str(LIBRARY), *arguments],
        env={**os.environ, "CLOUDSDK_ROOT_DIR": str(SDK)},
        capture_output=True,
        text=True,
        check=False,
        timeout=90,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def helps() -> dict[str, str]:
    """gcloud's help on each command; in one process, for each of its starts takes a second."""
    text = re.sub("\x1b\\[[0-9;]*m", "", in_gcloud(_ALL_HELP, *COMMANDS))
    parts = re.split("^@@ (.*)\n", text, flags=re.MULTILINE)[1:]
    helps = dict(zip(parts[::2], parts[1::2], strict=True))
    assert helps.keys() == set(COMMANDS)
    return helps


@pytest.fixture
def scripted(capsys: pytest.CaptureFixture[str]) -> list[list[str]]:
    """Every command of the scripts, and of the page that tells how to do it by hand."""
    Deployment(Gcloud("my-project", dry_run=True), "us-central1", ROOT, pauses_other_queues=False).run()
    Deployment(
        Gcloud("my-project", dry_run=True),
        "us-central1",
        ROOT,
        pauses_other_queues=False,
        stage="v2",
        alerts="me@example.com",
    ).run()
    move(Gcloud("my-project", dry_run=True), "v2", ROOT, back=False)
    Undeployment(Gcloud("my-project", dry_run=True), ROOT, deletes_data=True).run()
    lines = capsys.readouterr().out.splitlines()
    if (page := ROOT / "docs" / "deploy.md").exists():  # not in a bare tree
        lines += page.read_text().replace("\\\n", " ").splitlines()
    commands = [line.strip().removeprefix("do ") for line in lines]
    return [shlex.split(command)[1:] for command in commands if command.startswith("gcloud ")]


def command_of(words: list[str]) -> str:
    text = " ".join(words) + " "
    found = [command for command in COMMANDS if text.startswith(f"{command} ")]
    assert found, f"which command is `gcloud {text}`? Add it to COMMANDS"
    return max(found, key=len)


def test_each_command_and_each_of_its_flags_is_in_gclouds_own_help(
    scripted: list[list[str]], helps: dict[str, str]
) -> None:
    for words in scripted:
        help_text = helps[command_of(words)]
        assert help_text.startswith("NAME"), help_text
        for word in words:
            if word.startswith("-"):
                flag = word.partition("=")[0]
                assert re.search(rf"(?<![\w-]){flag}(?![\w-])", help_text), (
                    f"gcloud {command_of(words)} has no {flag}"
                )


def test_what_a_command_requires_is_given(scripted: list[list[str]], helps: dict[str, str]) -> None:
    for words in scripted:
        required = helps[command_of(words)].partition("REQUIRED FLAGS")[2].partition("\nOPTIONAL")[0]
        groups = re.findall(r"^     (--[\w-]+)=", required, re.MULTILINE)
        assert all(any(word.startswith(flag) for word in words) for flag in groups), words


def test_gclouds_own_parsers_take_the_yaml_files() -> None:
    program = """
from googlecloudsdk.api_lib.app import yaml_parsing
for file in sys.argv[2:4]:
    print(yaml_parsing.ServiceYamlInfo.FromFile(file).module)
for file in sys.argv[4:]:
    print(yaml_parsing.ConfigYamlInfo.FromFile(file).name)
"""
    files = [str(ROOT / name) for name in ("app.yaml", "worker.yaml", "queue.yaml", "index.yaml")]

    assert in_gcloud(program, *files).split() == ["default", "worker", "queue", "index"]
