"""The worker as a WSGI application on a real Datastore, and requests to it."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from io import BytesIO
from typing import TYPE_CHECKING, Any
from wsgiref.util import setup_testing_defaults
from wsgiref.validate import validator

import pytest

from counters import values
from pushtasks.database import Database
from pushtasks.worker import Worker
from tests.conftest import PROJECT
from worker.application import create_application

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

ON_APP_ENGINE = {"GOOGLE_CLOUD_PROJECT": PROJECT, "GAE_ENV": "standard"}


@dataclass
class Answer:
    status_int: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    text: str = ""


class WorkerClient:
    """Sends requests as the queue, an administrator or an outsider would. The app is checked against WSGI."""

    def __init__(
        self,
        environ: dict[str, str],
        create: Callable[[Mapping[str, str]], tuple[WSGIApplication, Worker]] = create_application,
    ) -> None:
        self._application, self.worker = create(environ)

    def request(self, path: str, method: str = "POST", **how: Any) -> Answer:
        body: bytes = how.pop("body", b"")
        raw_path, _, query = path.partition("?")
        environ: dict[str, Any] = {
            "REQUEST_METHOD": method,
            "SCRIPT_NAME": "",
            "PATH_INFO": raw_path,
            "QUERY_STRING": query,
            "CONTENT_LENGTH": str(how.pop("content_length", len(body))),
            "wsgi.input": BytesIO(body),
        }
        for header, value in how.pop("headers", {}).items():
            variable = header.upper().replace("-", "_")
            environ[variable if variable == "CONTENT_TYPE" else f"HTTP_{variable}"] = value
        setup_testing_defaults(environ)
        answer = Answer()

        def start_response(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Any:
            answer.status_int = int(status.split()[0])
            answer.headers = dict(headers)

        parts = validator(self._application)(environ, start_response)
        try:
            answer.text = b"".join(parts).decode()
        finally:
            parts.close()  # type: ignore[attr-defined]
        return answer

    def deliver(self, path: str = "/update-counter", body: bytes = b"", **how: Any) -> Answer:
        """Deliver a task as the queue does."""
        headers = {
            "X-AppEngine-QueueName": "counter-updates-0",
            "X-AppEngine-TaskName": how.pop("task", None) or secrets.token_hex(8),
            "X-AppEngine-TaskRetryCount": str(how.pop("retry_count", 0)),
            **({"Content-Type": how.pop("content_type")} if "content_type" in how else {}),
            **how.pop("headers", {}),
        }
        return self.request(path, body=body, headers=headers, **how)


@pytest.fixture
def worker(database: Database) -> WorkerClient:
    return WorkerClient(ON_APP_ENGINE)


@pytest.fixture
def value(database: Database, name: str) -> Callable[[], int | None]:
    def value_now() -> int | None:
        with database.context():
            counter = values.counter(database, name)
        return counter.value if counter else None

    return value_now
