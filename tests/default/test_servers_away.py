"""What is answered while Datastore or Cloud Tasks fails, in whatever way: bounded, and in words."""

from __future__ import annotations

import logging
import secrets
from collections.abc import Iterator
from datetime import UTC, datetime

import grpc
import pytest
from google.api_core import exceptions as api
from google.auth import exceptions as auth
from localcloud.testing import FaultyProxy, TasksProcess

from counters.update_counter import UpdateCounter
from pushtasks.database import Database
from pushtasks.datastore_calls import as_task_failure
from pushtasks.entities import KEPT, REJECTED, KeptTask
from pushtasks.errors import DatastoreUnavailable, OutcomeUnknown, QueueRefused, TaskFailure
from pushtasks.queues import as_queue_error
from tests.default.conftest import DefaultClient

CODES = ["UNAVAILABLE", "DEADLINE_EXCEEDED", "ABORTED", "INTERNAL", "RESOURCE_EXHAUSTED", "UNKNOWN"]


@pytest.fixture(scope="module")
def shared_proxy(datastore_address: str, tasks: TasksProcess) -> Iterator[FaultyProxy]:
    with FaultyProxy(datastore=datastore_address, tasks=tasks.address) as proxy:
        yield proxy


@pytest.fixture
def proxy(shared_proxy: FaultyProxy) -> Iterator[FaultyProxy]:
    yield shared_proxy
    shared_proxy.clear_faults()


@pytest.fixture
def behind_proxy(
    environ: dict[str, str], proxy: FaultyProxy, monkeypatch: pytest.MonkeyPatch
) -> DefaultClient:
    monkeypatch.setenv("DATASTORE_EMULATOR_HOST", proxy.datastore_address)
    return DefaultClient({**environ, "CLOUD_TASKS_EMULATOR_HOST": proxy.tasks_address})


@pytest.mark.parametrize("code", CODES)
def test_a_task_that_can_not_be_asked_for_is_a_503_after_one_try(
    behind_proxy: DefaultClient, proxy: FaultyProxy, code: str
) -> None:
    before = proxy.report()["tasks"]["calls"].get("GetTask", 0)
    proxy.set_faults(tasks=[{"method": "GetTask", "fault": "request_lost", "code": code}])
    answer = behind_proxy.get("/api/tasks/nosuchtask")
    assert (answer.status, answer.headers["Retry-After"]) == (503, "2")
    assert answer.json["detail"] == "Cloud Tasks did not answer. Try again in a moment."
    assert proxy.report()["tasks"]["calls"]["GetTask"] == before + 1


def test_a_taken_key_whose_task_can_not_be_looked_at_is_a_503(
    behind_proxy: DefaultClient, proxy: FaultyProxy, name: str
) -> None:
    for queue in range(4):
        behind_proxy.admin_post(f"/admin/queues/counter-updates-{queue}/pause")
    try:
        path, key = f"/api/counters/{name}/increments", {"Idempotency-Key": name}
        assert behind_proxy.post_json(path, {"amount": 1}, key).status == 202
        proxy.set_faults(tasks=[{"method": "GetTask", "fault": "request_lost"}])
        assert behind_proxy.post_json(path, {"amount": 1}, key).status == 503
    finally:
        for queue in range(4):
            behind_proxy.admin_post(f"/admin/queues/counter-updates-{queue}/resume")


@pytest.mark.parametrize("code", [*CODES, "UNIMPLEMENTED"])
@pytest.mark.parametrize(
    "path", ["/", "/live", "/api/counters", "/api/counters/a", "/api/tasks/a", "/admin/kept", "/_ah/warmup"]
)
def test_whatever_datastore_answers_is_told_in_words(
    behind_proxy: DefaultClient,
    proxy: FaultyProxy,
    caplog: pytest.LogCaptureFixture,
    code: str,
    path: str,
) -> None:
    proxy.set_faults(datastore=[{"fault": "request_lost", "code": code}])
    answer = behind_proxy.admin(path)
    assert answer.status in (200, 500, 503)
    assert "Spoiled on purpose" not in answer.text
    assert "that is in the log" not in answer.text
    assert not [record for record in caplog.records if record.exc_info], "no traceback"
    if path.startswith("/api") and code != "UNIMPLEMENTED":
        assert answer.status == 503


@pytest.mark.parametrize("code", ["UNIMPLEMENTED", "UNKNOWN", "UNAVAILABLE"])
def test_where_datastore_can_not_count_the_figure_is_unknown(
    behind_proxy: DefaultClient, database: Database, proxy: FaultyProxy, code: str
) -> None:
    """As with Google's Datastore emulator, which has no aggregation queries."""
    reason = f"a reason {secrets.token_hex(4)}"
    with database.context():
        KeptTask(
            id=f"{secrets.token_hex(8)}@update-counter",
            handler="update-counter",
            outcome=REJECTED,
            state=KEPT,
            reason=reason,
            detail="A detail.",
            queue="counter-updates-0",
            path="/update-counter",
            headers={},
            payload=b"{}",
            kept_at=datetime.now(UTC),
        ).put()
    proxy.set_faults(datastore=[{"method": "RunAggregationQuery", "fault": "request_lost", "code": code}])
    for path in ("/admin", "/admin/live", "/admin/metrics"):
        assert behind_proxy.admin(path).status == 200
    kept = behind_proxy.admin("/admin/statistics.json").json["kept"]
    assert kept["count"] is None
    assert {"reason": reason, "count": None} in kept["reasons"] or len(kept["reasons"]) == 8
    query = "reason=" + reason.replace(" ", "+")
    page = behind_proxy.admin(f"/admin/kept?{query}")
    assert (page.status, "number can\N{RIGHT SINGLE QUOTATION MARK}t be counted" in page.text) == (200, True)
    asked = behind_proxy.admin(f"/admin/kept/all?action=discard&{query}")
    assert (asked.status, "number can\N{RIGHT SINGLE QUOTATION MARK}t be counted" in asked.text) == (
        200,
        True,
    )


@pytest.mark.parametrize("action", ["pause", "resume", "purge"])
def test_a_queue_that_is_gone_is_told_in_words(
    environ: dict[str, str],
    database: object,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    action: str,
) -> None:
    monkeypatch.setattr(UpdateCounter, "queues", (*UpdateCounter.queues, "gone"))
    default = DefaultClient(environ)
    answer = default.admin_post(f"/admin/queues/gone/{action}", typed="gone")
    assert answer.status == 500
    assert "The task queue refused" in answer.text
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]


class _Rpc(grpc.RpcError):
    """A failure that carries no status, as of a channel that is closed."""


@pytest.mark.parametrize(
    "error",
    [
        api.RetryError("Timeout of 20 s exceeded", cause=None),  # type: ignore[no-untyped-call]
        api.DeadlineExceeded("slow"),  # type: ignore[no-untyped-call]
        api.ServiceUnavailable("failed to connect"),  # type: ignore[no-untyped-call]
        api.Cancelled("cancelled"),  # type: ignore[no-untyped-call]
        auth.TransportError("no metadata server"),  # type: ignore[no-untyped-call]
        auth.RefreshError("no token"),  # type: ignore[no-untyped-call]
        _Rpc(),
    ],
)
def test_whatever_the_client_libraries_raise_means_that_nobody_answered(error: Exception) -> None:
    of_queue, of_datastore = as_queue_error(error), as_task_failure(error)
    assert (type(of_queue), str(of_queue)) == (OutcomeUnknown, "Cloud Tasks did not answer")
    assert (type(of_datastore), str(of_datastore)) == (DatastoreUnavailable, "Datastore did not answer")
    assert of_queue.__cause__ is not None, "for the log"


def test_missing_credentials_are_told_with_what_to_do() -> None:
    missing = auth.DefaultCredentialsError("not found")  # type: ignore[no-untyped-call]
    refused = as_queue_error(missing)
    assert isinstance(refused, QueueRefused)
    assert "has no credentials" in str(refused)
    assert isinstance(as_task_failure(missing), TaskFailure)
