"""The default service as a WSGI application, on a real Datastore, a real Cloud Tasks and a real worker."""

from __future__ import annotations

import json
import secrets
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from socketserver import ThreadingMixIn
from typing import Any
from urllib.parse import urlencode
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server
from wsgiref.util import setup_testing_defaults
from wsgiref.validate import validator

import grpc
import pytest
from google.cloud import ndb, tasks_v2
from google.cloud.tasks_v2.services.cloud_tasks.transports import CloudTasksGrpcTransport
from localcloud.testing import TasksProcess
from localcloud.testing.waiting import wait_until

from default.application import create_application
from pushtasks.database import Database
from pushtasks.entities import KeptTask
from tests.conftest import PROJECT
from worker.application import create_application as create_worker

ROOT = Path(__file__).parents[2]

ADA = {"X-AppEngine-User-Is-Admin": "1", "X-AppEngine-User-Email": "ada@example.com"}
READER = {"X-AppEngine-User-Is-Admin": "1", "X-AppEngine-User-Email": "reader@example.com"}
OUR_PAGE = {"Sec-Fetch-Site": "same-origin"}


@dataclass
class Answer:
    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""

    @property
    def text(self) -> str:
        return self.body.decode()

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class DefaultClient:
    """Sends requests to the application, which is checked against the WSGI specification all the time."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._application = create_application(environ)

    def request(
        self,
        method: str,
        path: str,
        body: bytes = b"",
        headers: Mapping[str, str] | None = None,
        wsgi: Mapping[str, Any] | None = None,
    ) -> Answer:
        raw_path, _, query = path.partition("?")
        request: dict[str, Any] = {
            "REQUEST_METHOD": method,
            "SCRIPT_NAME": "",
            "PATH_INFO": raw_path,
            "QUERY_STRING": query,
            "wsgi.input": BytesIO(body),
            **({"CONTENT_LENGTH": str(len(body))} if body else {}),
        }
        for header, value in (headers or {}).items():
            variable = header.upper().replace("-", "_")
            request[variable if variable == "CONTENT_TYPE" else f"HTTP_{variable}"] = value
        request.update(wsgi or {})
        setup_testing_defaults(request)
        answer = Answer()

        def start_response(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Any:
            answer.status = int(status.split()[0])
            answer.headers = dict(headers)

        parts = validator(self._application)(request, start_response)
        try:
            answer.body = b"".join(parts)
        finally:
            parts.close()  # type: ignore[attr-defined]
        return answer

    def get(self, path: str, headers: Mapping[str, str] | None = None) -> Answer:
        return self.request("GET", path, headers=headers)

    def post_json(self, path: str, value: Any, headers: Mapping[str, str] | None = None) -> Answer:
        body = value if isinstance(value, bytes) else json.dumps(value).encode()
        return self.request("POST", path, body, {"Content-Type": "application/json", **(headers or {})})

    def post_form(self, path: str, fields: Any, headers: Mapping[str, str] | None = None) -> Answer:
        body = urlencode(fields, doseq=True).encode()
        form = {"Content-Type": "application/x-www-form-urlencoded"}
        return self.request("POST", path, body or b"x=", {**form, **(headers or {})})

    def admin(self, path: str) -> Answer:
        return self.get(path, ADA)

    def admin_post(self, path: str, /, **fields: Any) -> Answer:
        return self.post_form(path, fields, {**ADA, **OUR_PAGE})


class _ThreadingServer(ThreadingMixIn, WSGIServer):
    daemon_threads = True
    request_queue_size = 512


class _Silent(WSGIRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        """Says nothing."""


@pytest.fixture(scope="session")
def worker_url(datastore_address: str) -> Iterator[str]:
    """A worker service that answers over HTTP; where it is."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DATASTORE_EMULATOR_HOST", datastore_address)
        application, process = create_worker({"GOOGLE_CLOUD_PROJECT": PROJECT, "GAE_ENV": "standard"})
    with make_server("127.0.0.1", 0, application, _ThreadingServer, _Silent) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
    process.close()


@pytest.fixture(scope="session")
def tasks(worker_url: str) -> Iterator[TasksProcess]:
    """A Cloud Tasks with the queues of queue.yaml, delivering to the worker."""
    queues = ROOT / "queue.yaml"
    with TasksProcess(
        queues, {"worker": worker_url}, "--project", PROJECT, "--location", "us-central1"
    ) as it:
        yield it


@pytest.fixture(autouse=True)
def queues_as_at_the_start(request: pytest.FixtureRequest) -> Iterator[None]:
    """Whatever a test did to the queues, and however it ended: the next one finds them empty and running."""
    if "tasks" not in request.fixturenames:
        yield
        return
    tasks: TasksProcess = request.getfixturevalue("tasks")
    with tasks.for_one_test():
        yield


@pytest.fixture(scope="session")
def environ(tasks: TasksProcess) -> dict[str, str]:
    """The environment of a default service on these servers."""
    return {
        "GOOGLE_CLOUD_PROJECT": PROJECT,
        "GAE_ENV": "standard",
        "LOCATION_ID": "us-central1",
        "CLOUD_TASKS_EMULATOR_HOST": tasks.address,
        "COUNTER_LOG_FORMAT": "text",
        "COUNTER_EDITORS": "ada@example.com",
    }


@pytest.fixture
def default(environ: dict[str, str], database: Database) -> DefaultClient:
    return DefaultClient(environ)


@pytest.fixture
def nothing_kept(database: Database, queues_as_at_the_start: None) -> None:
    """No kept task of an earlier test is left, and none is on its way."""
    with database.context():
        ndb.delete_multi(KeptTask.query().fetch(keys_only=True))


@pytest.fixture
def wait_for_state(default: DefaultClient) -> Callable[[str, str], Any]:
    """Wait until the API says that a task is in a state; what it says then."""

    def wait(task: str, state: str) -> Any:
        answer: list[Any] = [None]

        def is_so() -> bool:
            answer[0] = default.get(f"/api/tasks/{task}").json
            return bool(answer[0].get("state") == state)

        wait_until(is_so, f"task {task} to be {state}, and it is {answer[0]}")
        return answer[0]

    return wait


@pytest.fixture
def failing_task(default: DefaultClient, tasks: TasksProcess) -> tuple[str, str]:
    """Queue and name of a task that has failed, and waits for its next attempt."""
    queue, name = "counter-updates-1", "failing-" + secrets.token_hex(6)
    parent = f"projects/{PROJECT}/locations/us-central1/queues/{queue}"
    transport = CloudTasksGrpcTransport(channel=grpc.insecure_channel(tasks.address))
    client = tasks_v2.CloudTasksClient(transport=transport)
    request = tasks_v2.AppEngineHttpRequest(
        relative_uri="/nobody-answers-here", body=b"<hostile>", headers={"X-A": "<b>"}
    )
    task = tasks_v2.Task(name=f"{parent}/tasks/{name}", app_engine_http_request=request)
    client.create_task(parent=parent, task=task)

    wait_until(lambda: client.get_task(name=task.name).response_count, "the task to fail")
    return queue, name
