"""Dependencies point one way, and what is deployed needs only what is deployed."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = ("counters", "default", "worker", "localcloud")

MAY_IMPORT = {
    "counters": {"counters"},
    "default": {"default", "counters"},
    "worker": {"worker", "counters"},
    "localcloud": {"localcloud"},
}


def imported_by(path: Path) -> set[str]:
    tree = ast.parse(path.read_text())
    modules = {
        alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names
    } | {
        node.module
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module and not node.level
    }
    return {module.partition(".")[0] for module in modules}


@pytest.mark.parametrize("package", PACKAGES)
def test_imports_between_packages_point_one_way(package: str) -> None:
    for path in (ROOT / package).rglob("*.py"):
        ours = imported_by(path) & set(PACKAGES)
        assert ours <= MAY_IMPORT[package], f"{path.relative_to(ROOT)} imports {ours - MAY_IMPORT[package]}"


def test_the_domain_knows_no_web_framework() -> None:
    for path in (ROOT / "counters").rglob("*.py"):
        assert not imported_by(path) & {"webapp2", "webob", "jinja2", "gunicorn"}, path.name


def test_every_package_says_what_it_is_for() -> None:
    for package in PACKAGES:
        assert ast.get_docstring(ast.parse((ROOT / package / "__init__.py").read_text()))


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
