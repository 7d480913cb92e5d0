"""Running gcloud, or only showing what would be run.

Every command is printed before it runs, with a line that says why, in a form that a shell takes; so the
output of a dry run is a script.
"""

from __future__ import annotations

import json
import shlex
import shutil
import subprocess
from collections.abc import Sequence
from typing import Any

_ABSENT = ("NOT_FOUND", "does not contain an App Engine application", "was not found", "does not exist")


class Stopped(Exception):
    """It can't go on. The message is one line: what is wrong, and the command that fixes it."""


class Gcloud:
    """gcloud, for one project. With `dry_run` nothing is run, and every question has its assumed answer."""

    def __init__(self, project: str, *, dry_run: bool) -> None:
        self.project = project
        self.dry_run = dry_run

    def require(self) -> None:
        """Raises Stopped if there is no gcloud to run."""
        if not self.dry_run and shutil.which("gcloud") is None:
            raise Stopped("gcloud is not installed. Install it: https://cloud.google.com/sdk/docs/install")

    def say(self, sentence: str) -> None:
        print(f"\n# {sentence}", flush=True)

    def note(self, sentence: str) -> None:
        """A finding of a real run; a dry run finds nothing."""
        if not self.dry_run:
            print(f"#   {sentence}", flush=True)

    def change(self, *arguments: str, mend: str = "") -> None:
        """Run a command that changes something. Raises Stopped if it fails, with how to fix it."""
        command = self._command(arguments)
        self._show(command)
        if self.dry_run:
            return
        status = subprocess.run(command, check=False).returncode
        if status:
            what = f"`{_shown(command)}` failed (status {status}; what it said is above)."
            raise Stopped(f"{what} {mend or 'Mend that and repeat: what is done already stays done.'}")

    def ask(self, *arguments: str, assumed: Any = None, mend: str = "") -> Any:
        """What a command that changes nothing answers, as JSON; None if what it asks for is not there.

        Raises Stopped if it fails for another reason.
        """
        command = [*self._command(arguments), "--format=json"]
        self._show(command)
        if self.dry_run:
            return assumed
        done = subprocess.run(command, check=False, capture_output=True, text=True)
        if done.returncode == 0:
            return json.loads(done.stdout) if done.stdout.strip() else None
        if any(sign in done.stderr for sign in _ABSENT):
            return None
        lines = done.stderr.strip().splitlines() or [f"status {done.returncode}, without a word"]
        told = next((line for line in lines if line.startswith("ERROR")), lines[-1])
        raise Stopped(f"`{_shown(command)}` failed: {told} {mend or 'Mend that and repeat.'}")

    def _command(self, arguments: Sequence[str]) -> list[str]:
        return ["gcloud", *arguments, f"--project={self.project}", "--quiet"]

    def _show(self, command: Sequence[str]) -> None:
        print(_shown(command), flush=True)


def _shown(command: Sequence[str]) -> str:
    return shlex.join(command)
