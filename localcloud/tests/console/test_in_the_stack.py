"""The console of a whole local cloud: started by its first visitor, restarted, put to rest."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from urllib.request import urlopen

import pytest
from localcloud.testing import LocalCloud
from localcloud.testing.plugin import start_local_cloud
from localcloud.testing.waiting import wait_until

from tests.console.visitor import Visitor
from tests.testing.conftest import root

__all__ = ["root", "start_local_cloud"]

FILES = ["app.yaml", "worker.yaml", "queue.yaml"]
CRON = "cron:\n- url: /work\n  description: nightly\n  schedule: every 24 hours\n  target: worker\n"


@pytest.fixture
def cloud(start_local_cloud: Callable[..., LocalCloud], root: Path) -> LocalCloud:
    (root / "cron.yaml").write_text(CRON)
    return start_local_cloud([*FILES, "cron.yaml"], root=root)


def test_it_takes_no_memory_until_somebody_comes(cloud: LocalCloud) -> None:
    assert f"  console      {cloud.console_url}\n" in cloud.log()
    assert "console" not in cloud.state["processes"]

    page = Visitor(cloud.console_url).get("/")

    assert page.status == 200
    assert cloud.state["processes"]["console"]["ready"]
    for name in ("default", "worker", "datastore", "tasks", "frontend"):
        assert f"<strong>{name}</strong> ready" in page.text


def test_it_comes_back_after_a_kill(cloud: LocalCloud) -> None:
    visitor = Visitor(cloud.console_url)
    visitor.get("/")
    cloud.kill("console")

    assert visitor.get("/instances").status == 200
    assert cloud.state["processes"]["console"]["restarts"] == 1


def test_a_process_is_restarted_from_its_page(cloud: LocalCloud) -> None:
    visitor = Visitor(cloud.console_url)
    before = cloud.state["processes"]["worker"]["pid"]
    page = visitor.get("/instances")
    assert re.search(r"worker</th>.*?MB", page.text, re.DOTALL)
    form = next(form for form in page.forms if ("label", "worker") in form.fields)

    assert visitor.submit(form).message == "worker was restarted."

    assert cloud.state["processes"]["worker"]["pid"] != before
    assert cloud.state["processes"]["worker"]["restarts"] == 1
    assert "worker is restarted from the console." in visitor.get("/logs", service="localcloud").text


def test_its_logs_have_the_lines_of_all_processes(cloud: LocalCloud) -> None:
    visitor = Visitor(cloud.console_url)
    form = visitor.get("/tasks/new").form("/tasks/new")
    for name, value in (("target", "/work"), ("service", "worker"), ("name", "followed")):
        form.set(name, value)
    assert visitor.submit(form).message == "followed was created."
    cloud.wait_idle()

    wait_until(lambda: "task followed attempt 0" in visitor.get("/logs", task="followed").text, "the line")
    assert "datastore" in visitor.get("/logs", service="datastore").text


def test_cron_jobs_are_shown_and_run_by_hand(cloud: LocalCloud) -> None:
    visitor = Visitor(cloud.console_url)
    page = visitor.get("/cron")
    assert "nightly" in page.text
    assert "every 24 hours" in page.text
    assert "never" in page.text
    assert len(re.findall(r"\d{4}-\d\d-\d\dT[\d:]+Z<br>", page.text)) == 3

    assert visitor.submit(page.form("/cron")).message == "A run of /work was started."

    wait_until(lambda: re.search(r'<td class="state">200', visitor.get("/cron").text), "the run's answer")


def test_it_rests_when_nobody_comes_any_more_and_wakes_for_the_next(
    start_local_cloud: Callable[..., LocalCloud], root: Path
) -> None:
    cloud = start_local_cloud(FILES, root=root, options=["--console-rest-seconds", "0.5"])
    visitor = Visitor(cloud.console_url)

    for _ in range(2):
        assert visitor.get("/data").status == 200
        wait_until(lambda: "console" not in cloud.state["processes"], "the console to rest")


def test_entities_come_from_and_go_to_the_local_cloud_that_runs(cloud: LocalCloud, tmp_path: Path) -> None:
    line = '{"key": {"path": [{"kind": "Seed", "name": "a"}]}, "properties": {"n": {"integerValue": "5"}}}\n'
    (tmp_path / "seed.jsonl").write_text(line)

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "localcloud", *arguments, "--data", str(cloud.data)]
        return subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)

    run("import", str(tmp_path / "seed.jsonl"))

    assert "Seed" in Visitor(cloud.console_url).get("/data").text
    assert run("export", "--kind", "Seed").stdout == line


def test_its_address_is_its_own(cloud: LocalCloud) -> None:
    assert cloud.console_url != cloud.url
    with urlopen(cloud.url) as answer:
        assert "Content-Security-Policy" not in answer.headers
