"""Pages whose commands and code are run: what the comments before their code blocks mean.

`<!-- file: PATH -->` a file to write; `<!-- edit: PATH -->` a change to one, as a diff; `<!-- run -->`
commands to run; `<!-- prints -->` what the commands before it print, where `…` stands for anything.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent

MAKE = ("make", "--no-print-directory", "--assume-old=.venv/.ready")
"""make, in the environment that the tests run in: whatever it is, it must not be set up again."""

_BLOCK = re.compile(
    r"(?:^<!-- (?P<mark>[a-z]+)(?:: (?P<path>\S+))? -->\n)?^```(?P<language>\w*)\n(?P<text>.*?)^```",
    re.DOTALL | re.MULTILINE,
)


@dataclass(frozen=True)
class Block:
    """A code block, and what the comment before it says to do with it; `mark` is empty if there is none."""

    mark: str
    path: str
    language: str
    text: str


def blocks_of(page: Path) -> list[Block]:
    return [
        Block(match["mark"] or "", match["path"] or "", match["language"], match["text"])
        for match in _BLOCK.finditer(page.read_text(encoding="utf-8"))
    ]


def write(block: Block, root: Path) -> None:
    """Make the file, or the change, that the block describes."""
    path = root / block.path
    if block.mark == "file":
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(block.text, encoding="utf-8")
        return
    lines = block.text.splitlines()
    before = "\n".join(line[1:] for line in lines if not line.startswith("+"))
    after = "\n".join(line[1:] for line in lines if not line.startswith("-"))
    text = path.read_text(encoding="utf-8")
    if after in text:
        return  # whoever follows the tutorial in a fork has made the change
    assert text.count(before) == 1, f"{block.path} has {text.count(before)} places like this:\n{before}"
    path.write_text(text.replace(before, after), encoding="utf-8")


def own_environ() -> dict[str, str]:
    """The environment for commands of a page: of the tests' own, what such a command would meet anywhere.

    Which servers it meets is for its test to say. And if `make test ARGS=...` runs the tests, that ARGS is
    not for a `make` inside them.
    """
    flags = os.environ.get("MAKEFLAGS", "")
    of_make = {"MAKEFLAGS", "MFLAGS", "MAKELEVEL", *re.findall(r"(?:^|\s)([A-Z_]+)=", flags)}
    return {
        name: value
        for name, value in os.environ.items()
        if name not in of_make and not name.endswith("_EMULATOR_HOST")
    }


def run(block: Block, root: Path, environ: Mapping[str, str], replacing: Mapping[str, str]) -> str:
    """What the block's commands print, with the page's addresses replaced by those of this run."""
    script = block.text
    for shown, real in replacing.items():
        script = script.replace(shown, real)
    script = re.sub(r"^make (?=[a-z])", " ".join(MAKE) + " ", script, flags=re.MULTILINE)
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        cwd=root,
        env={**own_environ(), **environ},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, f"{script}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def assert_prints(expected: str, printed: str) -> None:
    """Line by line, `…` standing for anything; lines that are shown as `…` alone for any number of lines."""
    pattern = r"\n".join(
        "(?s:.*?)" if line.strip() == "…" else ".*".join(map(re.escape, line.split("…")))
        for line in expected.strip().splitlines()
    )
    assert re.fullmatch(pattern, printed.strip()), f"expected:\n{expected}\nprinted:\n{printed}"
