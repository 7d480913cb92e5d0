"""What the README says is so."""

from __future__ import annotations

import re
from pathlib import Path

from counters.settings import CounterSettings

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()


def settings_table() -> str:
    rows = [
        f"| `{variable}` | {f'`{default}`' if default else ''} | {meaning} |"
        for variable, default, meaning in CounterSettings.table()
    ]
    return "\n".join(["| variable | default | meaning |", "| --- | --- | --- |", *rows])


def test_the_settings_are_listed_as_they_are() -> None:
    listed = README.partition("<!-- settings -->\n")[2].partition("<!-- /settings -->")[0]

    expected = settings_table()
    assert listed.strip() == expected, "replace the table between the markers by:\n" + expected


def test_its_first_screen_is_one_screen() -> None:
    first = README.partition("\n## ")[0]

    assert len(first.splitlines()) <= 24
    for shown in ("![", "make run", "make test", "You will learn"):
        assert shown in first


def test_every_make_target_that_it_names_exists() -> None:
    makefile = (ROOT / "Makefile").read_text()

    for target in set(re.findall(r"\bmake ([a-z-]+)", README)):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target


def test_every_folder_that_it_names_exists() -> None:
    layout = README.partition("## Layout")[2].partition("```")[2].partition("```")[0]

    for name in re.findall(r"^(\w+)/|\s(\w+\.yaml)\b", layout, re.MULTILINE):
        assert (ROOT / (name[0] or name[1])).exists(), name
