"""A stand-in for gcloud on PATH, which writes down what it is called with and answers as it was told."""

from __future__ import annotations

import io
import json
import os
import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from deploy.__main__ import main

ROOT = Path(__file__).parent.parent.parent

_RECORD = """\
#!/bin/sh
printf '%s\\037' "$@" >>{folder}/calls
echo >>{folder}/calls
case "$* " in
"""

NOT_FOUND = "ERROR: (gcloud) NOT_FOUND: there is none"
NO_APP = (
    "ERROR: (gcloud.app.describe) The current Google Cloud project [my-project] does not contain an App "
    "Engine application."
)
APP = {
    "locationId": "us-central",
    "defaultHostname": "my-project.uc.r.appspot.com",
    "serviceAccount": "my-project@appspot.gserviceaccount.com",
}


@dataclass(frozen=True)
class Done:
    """How a command ended, and what it said."""

    returncode: int
    stdout: str
    stderr: str


class StandIn:
    """What the stand-in answers, and what it was asked."""

    def __init__(
        self, folder: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
    ) -> None:
        self._folder = folder
        self._monkeypatch = monkeypatch
        self._capfd = capfd
        self._cases: list[str] = []
        monkeypatch.setenv("PATH", str(folder), prepend=os.pathsep)
        monkeypatch.chdir(ROOT)

    def answer(self, to: str, answer: Any = None, status: int = 0, stderr: str = "") -> None:
        """To commands that begin so; the answer given last to a beginning holds."""
        lines = []
        if stderr:
            lines.append(f"echo {shlex.quote(stderr)} >&2")
        if answer is not None:
            lines.append(f"echo {shlex.quote(json.dumps(answer))}")
        self._cases.insert(0, f"{shlex.quote(to + ' ')}*) {'; '.join([*lines, f'exit {status}'])};;\n")

    def calls(self) -> list[list[str]]:
        file = self._folder / "calls"
        lines = file.read_text().splitlines() if file.exists() else []
        return [line.removesuffix("\037").split("\037") for line in lines]

    def forget_calls(self) -> None:
        (self._folder / "calls").unlink(missing_ok=True)

    def remove(self) -> None:
        """From now on there is no gcloud at all."""
        self._monkeypatch.setenv("PATH", "/nowhere")

    def run(self, command: Callable[[Sequence[str]], int], *arguments: str) -> Done:
        """Run one of the project's commands, with the stand-in as its gcloud."""
        program = self._folder / "gcloud"
        program.write_text(_RECORD.format(folder=self._folder) + "".join(self._cases) + "esac\n")
        program.chmod(0o755)
        self._monkeypatch.setattr("sys.stdin", io.StringIO())
        status = command(arguments)
        return Done(status, *self._capfd.readouterr())


@pytest.fixture
def gcloud(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> StandIn:
    """A project of which everything can be found out: signed in, billed, and nothing set up yet."""
    stand_in = StandIn(tmp_path, monkeypatch, capfd)
    stand_in.answer("auth list", [{"account": "someone@example.com"}])
    stand_in.answer("projects describe", {"lifecycleState": "ACTIVE"})
    stand_in.answer("billing projects describe", {"billingEnabled": True})
    stand_in.answer("app describe", APP)
    stand_in.answer("firestore databases describe", status=1, stderr=NOT_FOUND)
    stand_in.answer("firestore fields ttls list", [])
    stand_in.answer("tasks queues list", [])
    return stand_in


Deploy = Callable[..., Done]


@pytest.fixture
def deploy(gcloud: StandIn) -> Deploy:
    def run(*options: str) -> Done:
        return gcloud.run(main, "--project", "my-project", "--region", "us-central1", *options)

    return run
