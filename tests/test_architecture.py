"""Dependencies point one way, and what is deployed needs only what is deployed."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

APPLICATION = ("counters", "default", "worker")

MAY_IMPORT = {
    "counters": {"counters", "pushtasks"},
    "default": {"default", "counters", "pushtasks", "pushtasks.web", "pushtasks.dashboard"},
    "worker": {"worker", "counters", "pushtasks", "pushtasks.web"},
    "pushtasks": {"pushtasks"},
    "pushtasks.web": {"pushtasks", "pushtasks.web"},
    "pushtasks.dashboard": {"pushtasks", "pushtasks.web", "pushtasks.dashboard"},
    "localcloud": {"localcloud"},
}
"""Which parts a part may import. `pushtasks` alone is its core."""

WEB_FRAMEWORKS = {"webapp2", "webob", "jinja2", "gunicorn"}

MOST_LINES, MOST_LINES_OF_A_MODULE = 1500, 200
"""Of the application: it is to be read over a coffee."""

FIELD_WORDS = re.compile("counter|increment", re.IGNORECASE)
"""The application's own words."""

GENERIC = ("from collections import Counter as Tallies", '_metric(name, "counter", help_text, totals)')
"""The same words in another meaning: of Python's library, and of Prometheus."""


def folder_of(part: str) -> Path:
    """localcloud is a project of its own inside this one."""
    return (ROOT / "localcloud" / "src" if part == "localcloud" else ROOT) / part.replace(".", "/")


def modules_of(part: str) -> list[Path]:
    """A part's modules, without those of the parts inside it."""
    folder = folder_of(part)
    inner = [folder_of(each) for each in MAY_IMPORT if each.startswith(f"{part}.")]
    return [path for path in folder.rglob("*.py") if not any(path.is_relative_to(each) for each in inner)]


def imported_by(path: Path) -> set[str]:
    """The modules that a file imports, wherever it does."""
    modules: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            modules |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.module and not node.level, f"{path}: imports are absolute"
            modules |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return modules


def part_of(module: str) -> str | None:
    """The part of this repository that a module belongs to."""
    found = [part for part in MAY_IMPORT if f"{module}.".startswith(f"{part}.")]
    return max(found, key=len, default=None)


@pytest.mark.parametrize("part", MAY_IMPORT)
def test_imports_point_one_way(part: str) -> None:
    modules = modules_of(part)
    assert modules
    for path in modules:
        parts = {part_of(module) for module in imported_by(path)} - {None}
        assert parts <= MAY_IMPORT[part], f"{path.relative_to(ROOT)} imports {parts - MAY_IMPORT[part]}"


@pytest.mark.parametrize("part", ["counters", "pushtasks"])
def test_the_domain_and_the_core_know_no_web_framework(part: str) -> None:
    for path in modules_of(part):
        names = {module.partition(".")[0] for module in imported_by(path)}
        assert not names & WEB_FRAMEWORKS, path.relative_to(ROOT)


def test_the_engine_says_nothing_of_the_application() -> None:
    said = [
        f"{path.relative_to(ROOT)}: {line.strip()}"
        for path in (ROOT / "pushtasks").rglob("*")
        if path.suffix in (".py", ".html", ".css", ".js", ".svg")
        for line in path.read_text().splitlines()
        if FIELD_WORDS.search(line) and not any(generic in line for generic in GENERIC)
    ]
    assert said == []


def test_the_application_is_read_over_a_coffee() -> None:
    lines = {path: len(path.read_text().splitlines()) for part in APPLICATION for path in modules_of(part)}
    assert sum(lines.values()) <= MOST_LINES
    assert [path.name for path, count in lines.items() if count > MOST_LINES_OF_A_MODULE] == []


def test_templates_are_written_to_be_read() -> None:
    for folder in ("templates", "pushtasks"):
        for path in (ROOT / folder).rglob("*.html"):
            longest = max(len(line) for line in path.read_text().splitlines())
            assert longest <= 200, f"{path.relative_to(ROOT)} has a line of {longest} characters"


@pytest.mark.parametrize("package", [*APPLICATION, "pushtasks", "localcloud"])
def test_every_package_says_what_it_is_for(package: str) -> None:
    assert ast.get_docstring(ast.parse((folder_of(package) / "__init__.py").read_text()))


def test_every_runtime_pin_is_exact() -> None:
    lines = (ROOT / "requirements.txt").read_text().splitlines()
    pins = [line for line in lines if line and not line.startswith("#")]

    assert pins
    for pin in pins:
        assert re.fullmatch(r"[A-Za-z0-9_.-]+==[0-9][^\s;]*(; python_version >= \"3\.13\")?", pin), pin


def test_development_packages_are_not_deployed() -> None:
    def names(file: str) -> set[str]:
        text = (ROOT / file).read_text()
        return {match.lower() for match in re.findall(r"^([A-Za-z0-9_.-]+)==", text, re.MULTILINE)}

    assert not names("requirements.txt") & (names("requirements-dev.txt") | names("requirements-parsers.txt"))
