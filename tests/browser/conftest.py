"""A real browser on the real stack: Chromium without a window, and `python -m localcloud`."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.cloud import tasks_v2
from google.cloud.tasks_v2.services.cloud_tasks.transports import CloudTasksGrpcTransport
from localcloud.testing import LocalCloud
from playwright.sync_api import Browser, Page, sync_playwright

from bench.chromium import MISSING, chromium

ROOT = Path(__file__).parents[2]

ADMIN, READER, OUTSIDER = "ada@example.com", "reader@example.com", "eve@example.com"

_CHROMIUM_OPTIONS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    executable = chromium()
    if executable is None:
        if os.environ.get("CI"):
            pytest.fail(MISSING)
        pytest.skip(MISSING)
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=executable, args=_CHROMIUM_OPTIONS)
        yield launched
        launched.close()


def start_cloud(data: Path) -> LocalCloud:
    """The application with everything around it, where one administrator may change things."""
    return LocalCloud(
        ["app.yaml", "worker.yaml", "queue.yaml"], root=ROOT, data=data, env={"COUNTER_EDITORS": ADMIN}
    )


@pytest.fixture(scope="session")
def shared_cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalCloud]:
    with start_cloud(tmp_path_factory.mktemp("browser") / "data") as cloud:
        yield cloud


@pytest.fixture
def cloud(shared_cloud: LocalCloud) -> Iterator[LocalCloud]:
    with shared_cloud.for_one_test() as cloud:
        yield cloud


@dataclass
class Visitor:
    """Somebody with a browser of their own; `problems` is what its console complained about."""

    page: Page
    url: str
    problems: list[str] = field(default_factory=list)

    def open(self, path: str) -> Page:
        answer = self.page.goto(self.url + path)
        assert answer is not None
        return self.page


Visit = Callable[..., Visitor]


@pytest.fixture
def visit_cloud(browser: Browser) -> Iterator[Callable[..., Visitor]]:
    """`visit_cloud(cloud, ADMIN, width=360)`: a visitor of a cloud, signed in if named."""
    contexts = []

    def visit(cloud: LocalCloud, who: str | None = None, width: int = 1280, **options: Any) -> Visitor:
        context = browser.new_context(viewport={"width": width, "height": 900}, **options)
        contexts.append(context)
        if who is not None:
            name, _, value = cloud.sign_in(who, admin=who != OUTSIDER).partition("=")
            for url in (cloud.url, cloud.service_url("worker")):
                context.add_cookies([{"name": name, "value": value, "url": url}])
        page = context.new_page()
        page.set_default_timeout(15_000)
        visitor = Visitor(page, cloud.url)
        page.on(
            "console",
            lambda message: visitor.problems.append(message.text) if message.type == "error" else None,
        )
        page.on("pageerror", lambda error: visitor.problems.append(str(error)))
        return visitor

    yield visit
    for context in contexts:
        context.close()


@pytest.fixture
def visit(cloud: LocalCloud, visit_cloud: Callable[..., Visitor]) -> Iterator[Visit]:
    """`visit(ADMIN, width=360)`: a visitor, whose console must have nothing to complain about."""
    visitors: list[Visitor] = []

    def open_browser(who: str | None = None, **options: Any) -> Visitor:
        visitors.append(visit_cloud(cloud, who, **options))
        return visitors[-1]

    yield open_browser
    for visitor in visitors:
        assert visitor.problems == []


def enqueue_at(
    cloud: LocalCloud, body: bytes, path: str = "/update-counter", queue: str = "counter-updates-0"
) -> str:
    """Enqueue any payload, as another program might; the task's name."""
    transport = CloudTasksGrpcTransport(channel=grpc.insecure_channel(cloud.tasks_address))
    client = tasks_v2.CloudTasksClient(transport=transport)
    parent = f"projects/local-project/locations/us-central1/queues/{queue}"
    name = secrets.token_hex(16)
    request = tasks_v2.AppEngineHttpRequest(
        relative_uri=path, body=body, headers={"Content-Type": "application/json"}
    )
    task = tasks_v2.Task(name=f"{parent}/tasks/{name}", app_engine_http_request=request)
    client.create_task(parent=parent, task=task)
    return name


@pytest.fixture
def enqueue(cloud: LocalCloud) -> Callable[..., str]:
    """`enqueue(b"...", "/path", "queue")`: the name of a task with any payload."""
    return partial(enqueue_at, cloud)


@pytest.fixture
def name() -> str:
    """A counter's name that no other test uses."""
    return "c" + secrets.token_hex(5)
