"""You keep pushtasks/, everything else is yours: with the counters gone, another domain runs on it."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlencode

import pytest
from localcloud.testing import LocalCloud

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parent.parent
OTHER = ROOT / "tests" / "guestbook"

OURS = (
    "counters",
    "default",
    "worker",
    "templates",
    "static",
    "tests",
    "bench",
    "deploy",
    "docs",
    "localcloud",
)
"""What goes: the counters, their pages, API and handler; and what is never deployed."""

MOST_LINES = 60


def fork(folder: Path) -> None:
    """Make a tree of the engine, the YAML files and the other application."""
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True)
    for name in listed.stdout.splitlines():
        if name.partition("/")[0] not in OURS and (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name)
    shutil.copy(OTHER / "guestbook.py", folder)
    shutil.copytree(OTHER / "templates", folder / "templates")
    for service in ("default", "worker"):
        file = folder / ("app.yaml" if service == "default" else "worker.yaml")
        text = file.read_text().replace(f"{service}.main:app", f"'guestbook:{service}()'")
        text = re.sub(r"- url: /static\n(.+\n)+", "", text)
        file.write_text(text.replace("--config python:worker.preloading ", ""))
    queues = (ROOT / "queue.yaml").read_text()
    first = queues[: queues.index("\n- name: counter-updates-1")]
    (folder / "queue.yaml").write_text(first.replace("counter-updates-0", "guests"))


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalCloud]:
    folder = tmp_path_factory.mktemp("fork")
    fork(folder)
    files = ("app.yaml", "worker.yaml", "queue.yaml")
    data = tmp_path_factory.mktemp("data")
    # Nothing of this checkout may be found by accident.
    with LocalCloud(files, root=folder, data=data, env={"PYTHONPATH": ""}, faults=True) as cloud:
        yield cloud


def sent(cloud: LocalCloud, path: str, **fields: str) -> tuple[int, str]:
    """Status of an answer, and its text or where it leads; POST if there are fields."""

    class Stay(urllib.request.HTTPRedirectHandler):
        def redirect_request(self, *arguments: object) -> None:
            return None

    request = urllib.request.Request(cloud.url + path, urlencode(fields).encode() if fields else None)
    request.add_header("Cookie", cloud.sign_in("ada@example.com"))
    try:
        with urllib.request.build_opener(Stay).open(request, timeout=30) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.headers.get("Location") or error.read().decode()


def welcome(cloud: LocalCloud, guest: str, key: str = "") -> str:
    """The name of the task that welcomes a guest."""
    status, leads_to = sent(cloud, "/", guest=guest, key=key)
    assert status == 303, leads_to
    return leads_to.partition("task=")[2]


def visits(cloud: LocalCloud) -> dict[str, int]:
    """What the page shows."""
    page = sent(cloud, "/")[1]
    return {guest: int(count) for guest, count in re.findall(r"<li>(\S+): (\d+)</li>", page)}


def test_the_application_is_small() -> None:
    text = (OTHER / "guestbook.py").read_text()
    code = [line for line in text.splitlines() if line and not line.startswith(('"""', "from", "import"))]
    assert len(code) <= MOST_LINES


def test_a_task_is_applied_once_however_often_it_is_sent_and_delivered(cloud: LocalCloud) -> None:
    task = welcome(cloud, "ada", "once")
    assert welcome(cloud, "ada", "once") == task
    cloud.wait_idle(30)
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(cloud.redeliver, [task] * 4))

    assert [answer["status"] for answer in answers] == [200] * 4
    assert visits(cloud)["ada"] == 1
    state = json.loads(sent(cloud, f"/api/tasks/{task}")[1])
    assert state == {"task": task, "state": "applied", "attempts": 1}
    assert sent(cloud, "/", guest="bert", key="once")[0] == 422


def test_nothing_is_lost_or_doubled_when_answers_are_lost_and_deliveries_doubled(cloud: LocalCloud) -> None:
    cloud.set_faults(
        deliveries={"seed": 1, "lose_response": 0.2, "duplicate": 0.3},
        datastore=[{"method": "Commit", "fault": "response_lost", "every": 3}],
    )
    guests = [f"guest-{number % 7}" for number in range(70)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda guest: welcome(cloud, guest), guests))
    cloud.wait_idle(60)
    cloud.clear_faults()

    found = visits(cloud)
    assert {guest: found[guest] for guest in set(guests)} == dict(Counter(guests))


def test_the_dashboard_shows_its_tasks_its_queue_and_what_was_rejected(cloud: LocalCloud) -> None:
    welcome(cloud, "eve")
    welcome(cloud, "x" * 101)
    cloud.wait_idle(30)

    status, page = sent(cloud, "/admin")
    assert status == 200
    assert "<title>Degraded: Guest book dashboard</title>" in page
    assert '<th scope="row">welcome-guest</th>' in page
    assert "1 welcome-guest task was rejected in the last hour." in page
    figures = json.loads(sent(cloud, "/admin/statistics.json")[1])
    [handler] = figures["handlers"]
    assert handler["handler"] == "welcome-guest"
    assert handler["total"]["applied"] == sum(visits(cloud).values())
    assert [queue["name"] for queue in figures["queues"]] == ["guests"]
    assert figures["kept"]["reasons"] == [
        {"reason": "guest: expected a name of 1 to 100 characters", "count": 1}
    ]
    for path in (
        "/admin/kept",
        "/admin/retrying",
        "/admin/kept.csv",
        "/admin/metrics",
        "/static/pushtasks/style.css",
    ):
        assert sent(cloud, path)[0] == 200, path
