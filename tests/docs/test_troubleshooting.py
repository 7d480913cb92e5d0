"""The error lines that the page explains are those that the code prints."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from counters.settings import CounterSettings
from pushtasks.errors import SettingsError
from tests.docs.pages import ROOT

PAGE = (ROOT / "docs" / "troubleshooting.md").read_text()
LINES = re.findall(r"^> (.*)$", PAGE, re.MULTILINE)
SETTING = "COUNTER_GROUP_SIZE is 'many'. Expected a whole number from 1 to 200 (default 64)."


def spoken() -> str:
    """What the code says: adjacent strings joined, values left out."""
    files = [ROOT / "Makefile"]
    for folder in ("counters", "default", "worker", "pushtasks", "localcloud", "bench", "deploy"):
        files += sorted(Path(ROOT / folder).rglob("*.py"))
    text = "\n".join(file.read_text() for file in files)
    joined = re.sub(r"""["']\s*\n\s*[rf]?["']""", "", text)
    return re.sub(r"\{[^{}\n]*\}|%d\.%d|%s", "…", joined)


@pytest.fixture(scope="module")
def code() -> str:
    return spoken()


@pytest.mark.parametrize("line", [line for line in LINES if line != SETTING])
def test_the_code_says_so(code: str, line: str) -> None:
    for part in re.split("…|: ", line):
        assert part.strip() in code, part


def test_a_bad_setting_is_named_so() -> None:
    with pytest.raises(SettingsError) as caught:
        CounterSettings.read({"GOOGLE_CLOUD_PROJECT": "p", "COUNTER_GROUP_SIZE": "many"})

    assert str(caught.value) == SETTING
    assert SETTING in LINES
