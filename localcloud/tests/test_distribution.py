"""localcloud installs into an empty environment, and there serves and tests somebody else's application."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from urllib.request import urlopen

import pytest
from localcloud.testing.waiting import wait_until

# The environment is installed by whichever test comes first.
pytestmark = pytest.mark.timeout(400)

LOCALCLOUD = Path(__file__).parent.parent
README = (LOCALCLOUD / "README.md").read_text()


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment with nothing in it but localcloud and what it asks for."""
    folder = tmp_path_factory.mktemp("installed")
    source, venv = folder / "localcloud", folder / "venv"
    shutil.copytree(LOCALCLOUD, source, ignore=shutil.ignore_patterns("__pycache__", ".*"))
    before = sorted(source.rglob("*"))
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", venv], check=True)
    install = ["-m", "pip", "--python", str(venv / "bin" / "python"), "install", "--quiet", "--no-compile"]
    subprocess.run(
        [sys.executable, *install, "--disable-pip-version-check", f"{source}[testing]"], check=True
    )
    assert sorted(source.rglob("*")) == before, "an installation leaves something in the checkout"
    return venv


def test_every_file_of_the_package_is_in_the_distribution(environment: Path) -> None:
    (installed,) = environment.glob("lib/python3*/site-packages/localcloud")
    package = LOCALCLOUD / "src" / "localcloud"
    kept = {path.relative_to(package) for path in package.rglob("*") if path.is_file()}
    kept = {path for path in kept if "__pycache__" not in path.parts}
    found = {path.relative_to(installed) for path in installed.rglob("*") if path.is_file()}

    assert found == kept


@pytest.fixture(scope="module")
def application(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The README's own application, file by file."""
    folder = tmp_path_factory.mktemp("foreign")
    for name, text in re.findall(r"<!-- file: (\S+) -->\n```\w+\n(.*?)```", README, re.DOTALL):
        (folder / name).write_text(text)
    return folder


def clean_environ(environment: Path) -> dict[str, str]:
    """Nothing that leads back to this checkout."""
    kept = {name: value for name, value in os.environ.items() if name in ("HOME", "LANG", "TMPDIR")}
    return {**kept, "PATH": f"{environment / 'bin'}{os.pathsep}{os.defpath}"}


def test_the_pytest_plugin_tests_a_foreign_application(environment: Path, application: Path) -> None:
    done = subprocess.run(
        [environment / "bin" / "python", "-m", "pytest", "-q", "-p", "no:cacheprovider", application],
        cwd=application,
        env=clean_environ(environment),
        capture_output=True,
        text=True,
        timeout=120,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 passed" in done.stdout


def test_the_command_serves_a_foreign_application(environment: Path, application: Path) -> None:
    output = application / "output"
    with output.open("w") as file:
        served = subprocess.Popen(
            [environment / "bin" / "localcloud", "app.yaml", "queue.yaml", "--port", "0"],
            cwd=application,
            env=clean_environ(environment),
            stdout=file,
            stderr=subprocess.STDOUT,
        )
    try:
        ready = re.compile(r"localcloud ready on (\S+)")
        wait_until(lambda: ready.search(output.read_text()) is not None, "localcloud to be ready", 60)
        found = ready.search(output.read_text())
        assert found is not None
        address = found[1]
        with urlopen(f"http://{address}/", data=b"Ada", timeout=10) as answer:
            assert answer.read() == b"Thank you.\n"
    finally:
        served.send_signal(signal.SIGTERM)
        status = served.wait(30)
    assert status == 0
