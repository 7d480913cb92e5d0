"""The recipes, and the engine's own page: their kinds of task run on real servers, and their calls print
what the page says."""

from __future__ import annotations

import io
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import redirect_stdout
from dataclasses import dataclass
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
from pushtasks.worker import Worker
from tests.docs.pages import ROOT, Block, assert_prints, blocks_of

RECIPES, ENGINE = ROOT / "docs" / "recipes.md", ROOT / "pushtasks" / "README.md"
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


@dataclass
class Page:
    """A page, what a reader has who typed all its classes, and the servers that run its tasks."""

    blocks: list[Block]
    names: dict[str, Any]
    tasks: TasksProcess
    service: Service
    worker: Worker
    environ: dict[str, str]

    def of(self, mark: str) -> list[str]:
        return [block.text for block in self.blocks if block.mark == mark]

    def enqueue(self, kind: str, payload: object) -> None:
        with self.service.database.context():
            self.service.tasks.enqueue(self.names[kind], payload)
        self.tasks.wait_idle(60)


def typed(blocks: list[Block]) -> dict[str, Any]:
    found: dict[str, Any] = {"send_mail": send_mail, "__name__": __name__}
    for mark in ("imports", "kinds", "test"):
        for block in blocks:
            if block.mark == mark:
                exec(compile(block.text, "page", "exec"), found)  # noqa: S102 - one of our pages
    return found


def queues_of(blocks: list[Block], kinds: list[type[Task[Any]]], folder: Path) -> Path:
    """A queue.yaml with the queues that the page shows, and a plain one for each of its other queues."""
    shown = "".join(block.text for block in blocks if block.mark == "queue")
    others = {queue for kind in kinds for queue in kind.queues if f"name: {queue}\n" not in shown}
    plain = "".join(f"- name: {queue}\n  target: worker\n  rate: 500/s\n" for queue in sorted(others))
    file = folder / "queue.yaml"
    file.write_text(f"queue:\n{shown}{plain}")
    return file


@pytest.fixture(scope="module")
def page_of(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[Path], Page]]:
    """Makes a page's application run: on a real Datastore and queue, with a worker that answers over HTTP."""
    with pytest.MonkeyPatch.context() as patch, DatastoreProcess() as datastore:
        patch.setenv("DATASTORE_EMULATOR_HOST", datastore.address)
        running: dict[Path, Page] = {}
        closing: list[Callable[[], object]] = []

        def run(file: Path) -> Page:
            blocks = blocks_of(file)
            names = typed(blocks)
            kinds = [
                each
                for each in names.values()
                if isinstance(each, type) and issubclass(each, Task) and each is not Task
            ]
            environ = {
                "GOOGLE_CLOUD_PROJECT": f"{PROJECT}-{len(running)}",
                "GAE_ENV": "standard",
                "LOCATION_ID": "us-central1",
            }
            server = make_server("127.0.0.1", 0, lambda _environ, _start: [], _ThreadingServer, _Silent)
            closing.append(server.server_close)
            tasks = TasksProcess(
                queues_of(blocks, kinds, tmp_path_factory.mktemp("queues")),
                {"worker": f"http://127.0.0.1:{server.server_port}"},
                "--project",
                environ["GOOGLE_CLOUD_PROJECT"],
                "--location",
                "us-central1",
            )
            tasks.__enter__()
            closing.append(lambda: tasks.__exit__(None, None, None))
            environ["CLOUD_TASKS_EMULATOR_HOST"] = tasks.address
            settings = Settings.read(environ)
            application, worker = worker_application(settings, kinds, {})
            server.set_app(application)
            threading.Thread(target=server.serve_forever, daemon=True).start()
            closing.extend((server.shutdown, worker.close))
            return Page(blocks, names, tasks, Service(settings, kinds), worker, environ)

        def page(file: Path) -> Page:
            if file not in running:
                running[file] = run(file)
            return running[file]

        yield page
        for close in reversed(closing):
            close()


@pytest.fixture
def recipes(page_of: Callable[[Path], Page]) -> Page:
    return page_of(RECIPES)


@pytest.fixture
def engine(page_of: Callable[[Path], Page]) -> Page:
    return page_of(ENGINE)


@pytest.mark.timeout(180)
@pytest.mark.parametrize("file", [RECIPES, ENGINE], ids=["recipes", "engine"])
def test_every_call_prints_what_the_page_says(page_of: Callable[[Path], Page], file: Path) -> None:
    page = page_of(file)
    printed = io.StringIO()
    for block in page.blocks:
        if block.mark == "call":
            printed = io.StringIO()
            known = {**page.names, "service": page.service}
            with page.service.database.context(), redirect_stdout(printed):
                exec(compile(block.text, "page", "exec"), known, page.names)  # noqa: S102
            page.tasks.wait_idle(60)
        elif block.mark == "prints":
            assert_prints(block.text, printed.getvalue())


@pytest.mark.timeout(180)
def test_a_follow_up_of_the_recipes_is_applied(recipes: Page) -> None:
    recipes.enqueue("CheckIn", {"guest": "follower"})

    with recipes.service.database.context():
        [guest] = recipes.service.database.get([recipes.names["ndb"].Key(recipes.names["Guest"], "follower")])
    assert guest.visits == 1


@pytest.mark.timeout(180)
def test_cron_makes_one_task_a_day_and_outsiders_none(recipes: Page) -> None:
    [text] = recipes.of("cron")
    [job] = croninfo.LoadSingleCron(text).cron
    application = service_application(recipes.service, [(job.url, recipes.names["DailyHandler"])])

    assert get(application, job.url, HTTP_X_APPENGINE_CRON="true") == "200 enqueued"
    assert get(application, job.url, HTTP_X_APPENGINE_CRON="true") == "200 duplicate"
    assert get(application, job.url).startswith("403 ")


@pytest.mark.timeout(180)
def test_the_engines_page_wires_up_a_dashboard_and_a_worker(engine: Page) -> None:
    admin = {"HTTP_X_APPENGINE_USER_IS_ADMIN": "1", "HTTP_X_APPENGINE_USER_EMAIL": "ada@example.com"}
    service = engine.names["create_service"](engine.environ)

    assert "guests" in get(service, "/admin", **admin)
    assert get(service, "/admin").startswith("403 ")
    handler = signal.getsignal(signal.SIGTERM)
    try:
        assert get(engine.names["create_worker"](engine.environ), "/_ah/warmup").startswith("200 ")
    finally:
        signal.signal(signal.SIGTERM, handler)


@pytest.mark.timeout(180)
def test_the_engines_pages_own_test_passes(engine: Page) -> None:
    engine.names["test_a_guest_is_welcomed_once"](engine.worker)


def test_each_recipe_is_short() -> None:
    def lines_of(block: Block) -> list[str]:
        return [line for line in block.text.splitlines() if line.strip()]

    for block in blocks_of(RECIPES):
        assert len(lines_of(block)) <= (10 if block.mark == "call" else 20), block.text


def get(application: Any, path: str, **headers: str) -> str:
    """Status and body of a page, asked for as App Engine's front end would."""
    environ: dict[str, Any] = {"REQUEST_METHOD": "GET", "PATH_INFO": path, **headers}
    setup_testing_defaults(environ)
    status: list[str] = []
    body = application(environ, lambda line, headers, error=None: status.append(line))
    return f"{status[0][:3]} {b''.join(body).decode()}"
