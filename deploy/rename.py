"""`make rename NAME=my-service`: the project's name in every place that has it.

What a fork calls itself: the distribution, the title of the README, the prefix of the queues and settings.
The domain's own words (counters/, /update-counter, the kinds of entities) stay: a fork replaces those by
writing something else, not by calling it something else.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Sequence
from pathlib import Path

ROOT = Path(__file__).parent.parent

_NAME = re.compile(r"[a-z][a-z0-9]*(?:-[a-z0-9]+)*")
_MOST_CHARACTERS = 20
_AT_FIRST = ("counter-service", "counter")
"""The project's name, and what queues and settings begin with, before the first renaming."""

_NOT_OURS = ("localcloud/", "pushtasks/", "deploy/rename.py", "CHANGELOG.md")
"""Files that stay: what a fork keeps as it is, this one, and the history."""


class CannotRename(Exception):
    """The message is one line: what is wrong, and what was expected."""


def current_names(root: Path) -> tuple[str, str]:
    """The project's name, and what its queues and settings begin with."""
    name = str(tomllib.loads((root / "pyproject.toml").read_text())["project"]["name"])
    return _AT_FIRST if name == _AT_FIRST[0] else (name, name)


def parse_name(text: str) -> str:
    """A name that a project and its queues can have. Raises CannotRename."""
    if not _NAME.fullmatch(text) or len(text) > _MOST_CHARACTERS or text in (*_AT_FIRST, "localcloud"):
        raise CannotRename(
            f"NAME is {text!r}. Expected 1 to {_MOST_CHARACTERS} of a-z, 0-9 and single hyphens, starting "
            "with a letter: make rename NAME=my-service"
        )
    return text


def rename(root: Path, name: str) -> list[str]:
    """Rename the project in `root`; the files that changed. Raises CannotRename."""
    project, prefix = current_names(root)
    replacements = (
        (re.compile(rf"\b{re.escape(project)}\b(?!\.)"), name),
        (re.compile(rf"\b{re.escape(prefix)}-updates\b"), f"{name}-updates"),
        (re.compile(rf"\b{_variable(prefix)}_(?=[A-Z]|\W)"), f"{_variable(name)}_"),
        (re.compile(rf"^# {re.escape(_title(prefix))}: "), f"# {_title(name)}: "),
    )
    texts = dict(_texts(root))
    used = re.compile(rf"\b{name}\b")
    if (
        "-" not in name
        and name != project
        and (files := [file for file, text in texts.items() if used.search(text)])
    ):
        # The next renaming could not tell the name from the word.
        raise CannotRename(
            f"NAME is {name!r}, a word that the project uses already (in {files[0]}, for one). "
            f"Expected a name that is nothing else, such as my-{name}"
        )
    changed = []
    for file, before in texts.items():
        after = before
        for pattern, new in replacements:
            after = pattern.sub(new, after)
        if after != before:
            (root / file).write_bytes(after.encode("utf-8"))
            changed.append(file)
    return changed


def _texts(root: Path) -> Iterator[tuple[str, str]]:
    """Each file of the project that has a text, with it."""
    for file in _files(root):
        try:
            yield file, (root / file).read_bytes().decode("utf-8")
        except UnicodeDecodeError:
            continue  # a picture


def _files(root: Path) -> Iterator[str]:
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=root,
        capture_output=True,
        text=True,
        check=False,
    )
    if listed.returncode:
        raise CannotRename(f"{root} is not a git checkout. Make it one first: git init && git add .")
    for file in sorted(set(listed.stdout.splitlines())):
        if (root / file).is_file() and not file.startswith(_NOT_OURS):
            yield file


def _variable(name: str) -> str:
    return name.upper().replace("-", "_")


def _title(name: str) -> str:
    return name.replace("-", " ").capitalize()


def main(arguments: Sequence[str]) -> int:
    """The exit status: 0 when renamed, 1 when it could not be."""
    try:
        changed = rename(ROOT, parse_name(arguments[0] if arguments else ""))
    except CannotRename as reason:
        print(f"rename: {reason}", file=sys.stderr)
        return 1
    for file in changed:
        print(f"  {file}")
    # Lines that got longer or shorter are broken elsewhere.
    subprocess.run([sys.executable, "-m", "ruff", "format", "--quiet", "."], cwd=ROOT, check=False)
    print(
        f"{len(changed)} files changed. Look at them with `git diff`, run `make test`, and read 'Make it "
        "yours' in the README for what only you can name. Queues have new names: rename before you deploy."
    )
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
