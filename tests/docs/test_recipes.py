"""The recipes work: their kinds of task run on real servers, and their calls print what the page says."""

from __future__ import annotations

import io
import threading
from collections.abc import Iterator
from contextlib import redirect_stdout
from pathlib import Path
from socketserver import ThreadingMixIn
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server
from wsgiref.util import setup_testing_defaults

import pytest
from google.appengine.api import croninfo

from localcloud.testing import DatastoreProcess, TasksProcess
from pushtasks.service import Service
from pushtasks.settings import Settings
from pushtasks.task import Task
from pushtasks.web.service_application import service_application
from pushtasks.web.worker_application import worker_application
from tests.docs.pages import ROOT, Block, assert_prints, blocks_of

BLOCKS = blocks_of(ROOT / "docs" / "recipes.md")
PROJECT = "recipes"


class _ThreadingServer(ThreadingMixIn, WSGIServer):
    daemon_threads = True
    request_queue_size = 256


class _Silent(WSGIRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        """Says nothing."""


def send_mail(to: str, text: str, key: str) -> None:
    """What the page calls yours."""
    if to == "nobody":
        raise OSError(f"No server takes mail for {to}.")


@pytest.fixture(scope="module")
def names() -> dict[str, Any]:
    """What a reader has who typed the imports and all the classes."""
    found: dict[str, Any] = {"send_mail": send_mail, "__name__": __name__}
    for mark in ("imports", "kinds"):
        for block in BLOCKS:
            if block.mark == mark:
                exec(compile(block.text, "recipes.md", "exec"), found)  # noqa: S102 - a page of ours
    return found


@pytest.fixture(scope="module")
def kinds(names: dict[str, Any]) -> list[type[Task[Any]]]:
    return [
        each
        for each in names.values()
        if isinstance(each, type) and issubclass(each, Task) and each is not Task
    ]


@pytest.fixture(scope="module")
def queue_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    [given] = [block.text for block in BLOCKS if block.mark == "queue"]
    file = tmp_path_factory.mktemp("recipes") / "queue.yaml"
    file.write_text(f"queue:\n{given}\n{given.replace('mails', 'guests').replace('5/s', '500/s')}")
    return file


@pytest.fixture(scope="module")
def running(kinds: list[type[Task[Any]]], queue_file: Path) -> Iterator[tuple[TasksProcess, Service]]:
    """A worker with the page's kinds, their queues, and a service that enqueues."""
    settings = {"GOOGLE_CLOUD_PROJECT": PROJECT, "GAE_ENV": "standard", "LOCATION_ID": "us-central1"}
    with (
        DatastoreProcess() as datastore,
        pytest.MonkeyPatch.context() as patch,
        make_server("127.0.0.1", 0, None, _ThreadingServer, _Silent) as server,  # type: ignore[arg-type]
    ):
        patch.setenv("DATASTORE_EMULATOR_HOST", datastore.address)
        targets = {"worker": f"http://127.0.0.1:{server.server_port}"}
        with TasksProcess(queue_file, targets, "--project", PROJECT, "--location", "us-central1") as tasks:
            read = Settings.read({**settings, "CLOUD_TASKS_EMULATOR_HOST": tasks.address})
            application, worker = worker_application(read, kinds, {})
            server.set_app(application)
            threading.Thread(target=server.serve_forever, daemon=True).start()
            yield tasks, Service(read, kinds)
            worker.close()
            server.shutdown()


@pytest.mark.timeout(180)
def test_every_call_prints_what_the_page_says(
    names: dict[str, Any], running: tuple[TasksProcess, Service]
) -> None:
    tasks, service = running
    printed = io.StringIO()
    for block in BLOCKS:
        if block.mark == "call":
            printed = io.StringIO()
            with service.database.context(), redirect_stdout(printed):
                exec(compile(block.text, "recipes.md", "exec"), {**names, "service": service}, names)  # noqa: S102
            tasks.wait_idle(60)
        elif block.mark == "prints":
            assert_prints(block.text, printed.getvalue())


@pytest.mark.timeout(180)
def test_a_follow_up_of_the_page_is_applied(
    names: dict[str, Any], running: tuple[TasksProcess, Service]
) -> None:
    tasks, service = running
    with service.database.context():
        service.tasks.enqueue(names["CheckIn"], {"guest": "follower"})
    tasks.wait_idle(60)

    with service.database.context():
        [guest] = service.database.get([names["ndb"].Key(names["Guest"], "follower")])
    assert guest.visits == 1


@pytest.mark.timeout(180)
def test_cron_makes_one_task_a_day_and_outsiders_none(
    names: dict[str, Any], running: tuple[TasksProcess, Service]
) -> None:
    [text] = [block.text for block in BLOCKS if block.mark == "cron"]
    [job] = croninfo.LoadSingleCron(text).cron
    _, service = running
    application = service_application(service, [(job.url, names["DailyHandler"])])

    def get(**headers: str) -> str:
        environ: dict[str, Any] = {"REQUEST_METHOD": "GET", "PATH_INFO": job.url, **headers}
        setup_testing_defaults(environ)
        status: list[str] = []
        body = application(environ, lambda line, headers, error=None: status.append(line))  # type: ignore[arg-type,return-value,misc]
        return f"{status[0][:3]} {b''.join(body).decode()}"

    assert get(HTTP_X_APPENGINE_CRON="true") == "200 enqueued"
    assert get(HTTP_X_APPENGINE_CRON="true") == "200 duplicate"
    assert get().startswith("403 ")


def test_each_recipe_is_short() -> None:
    def lines_of(block: Block) -> list[str]:
        return [line for line in block.text.splitlines() if line.strip()]

    assert all(len(lines_of(block)) <= 20 for block in BLOCKS)
    assert all(len(lines_of(block)) <= 10 for block in BLOCKS if block.mark == "call")
