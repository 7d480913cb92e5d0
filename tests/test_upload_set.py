"""What gets uploaded is exactly what is served: in an empty folder, with requirements.txt alone, it runs."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.request import Request, urlopen

import pytest
from localcloud.testing import LocalCloud
from localcloud.testing.waiting import wait_until

from deploy.smoke import Service, smoke

ROOT = Path(__file__).parent.parent
FILES = ("app.yaml", "worker.yaml", "queue.yaml", "index.yaml")
SERVED = ("counters/", "default/", "pushtasks/", "worker/", "templates/", "static/")


def uploaded() -> list[str]:
    """The files that .gcloudignore leaves. Its syntax is .gitignore's, so git can tell."""
    done = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-from=.gcloudignore"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    ignored = subprocess.run(
        ["git", "ls-files", "--cached", "--ignored", "--exclude-from=.gcloudignore"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    names = set(done.stdout.split("\n")) - set(ignored.stdout.split("\n")) - {""}
    return sorted(name for name in names if (ROOT / name).is_file())


def test_only_what_is_served_is_uploaded() -> None:
    others = [name for name in uploaded() if not name.startswith(SERVED)]

    assert sorted(others) == sorted([*FILES, "requirements.txt"])


@pytest.mark.skipif(shutil.which("gcloud") is None, reason="gcloud is not installed here")
def test_gcloud_would_upload_the_same_files() -> None:
    done = subprocess.run(
        ["gcloud", "meta", "list-files-for-upload", str(ROOT)],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )

    assert sorted(done.stdout.split("\n")[:-1]) == uploaded()


def interpreters() -> list[str]:
    """The oldest and the newest Python that is supported, as far as they are here."""
    newest = Path.home() / ".pyenv" / "versions" / "3.13.0" / "bin" / "python"
    found = str(newest) if newest.exists() else shutil.which("python3.13")
    return [sys.executable, *([found] if found else [])]


@pytest.fixture(scope="module", params=interpreters(), ids=["this-python", "3.13"][: len(interpreters())])
def shared_cloud(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[LocalCloud]:
    """The upload set in a folder of its own, with an environment of its own, as App Engine builds it."""
    folder = tmp_path_factory.mktemp("uploaded")
    for name in uploaded():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, folder / name)
    environment = tmp_path_factory.mktemp("environment") / "venv"
    subprocess.run([request.param, "-m", "venv", "--without-pip", environment], check=True)
    install = ["-m", "pip", "--python", str(environment / "bin" / "python"), "install", "--quiet"]
    install += ["--disable-pip-version-check", "--no-compile", "-r", str(folder / "requirements.txt")]
    subprocess.run([sys.executable, *install], check=True)
    own = {
        "PATH": f"{environment / 'bin'}{os.pathsep}{os.defpath}",
        # Nothing of this checkout may be found by accident, and logs must look as in the cloud.
        "PYTHONPATH": "",
        "PYTHONDONTWRITEBYTECODE": "1",
        "COUNTER_LOG_FORMAT": "json",
    }
    with LocalCloud(FILES, root=folder, data=tmp_path_factory.mktemp("data"), env=own) as cloud:
        yield cloud


@pytest.fixture
def deployed(shared_cloud: LocalCloud) -> Iterator[LocalCloud]:
    with shared_cloud.for_one_test() as cloud:
        yield cloud


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_an_increment_sent_twice_is_counted_once(deployed: LocalCloud) -> None:
    said: list[str] = []

    smoke(Service(deployed.url), said.append, wait_s=30)

    assert said[-1].endswith("sent twice, counted once.")


@pytest.mark.slow
def test_the_pages_and_static_files_are_there(deployed: LocalCloud) -> None:
    for path, begins in (("/", b"<!doctype html>"), ("/favicon.ico", b"<svg")):
        assert fetched(deployed.url + path)[: len(begins)].lower() == begins
    for path in ("/", "/admin"):
        assert b"static/" in fetched(deployed.url + path, Cookie=deployed.sign_in())


@pytest.mark.slow
def test_one_search_follows_a_task_through_the_logs_of_both_services(deployed: LocalCloud) -> None:
    task = Service(deployed.url).increment(secrets.token_hex(8))["task"]
    deployed.wait_idle(30)

    def is_logged() -> bool:
        return bool(lines_about(deployed, "default", task) and lines_about(deployed, "worker", task))

    wait_until(is_logged, "a line about the task in both logs")
    [enqueued] = lines_about(deployed, "default", task)
    [applied] = lines_about(deployed, "worker", task)

    assert enqueued["severity"] == applied["severity"] == "INFO"
    assert applied["message"] == "Task applied"
    assert applied["origin_trace"] == enqueued["logging.googleapis.com/trace"]
    assert applied["logging.googleapis.com/trace"] != applied["origin_trace"]


def lines_about(cloud: LocalCloud, service: str, task: str) -> list[dict[str, object]]:
    return [json.loads(line[line.index("{") :]) for line in cloud.log(service).splitlines() if task in line]


def fetched(url: str, **headers: str) -> bytes:
    with urlopen(Request(url, headers=headers), timeout=30) as answer:
        return bytes(answer.read())
