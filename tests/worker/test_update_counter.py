"""The worker's /update-counter, as the queue, an administrator and an outsider find it."""

from __future__ import annotations

import encodings
from collections.abc import Callable

import pytest
from google.cloud import ndb
from google.cloud.ndb import _datastore_api
from localcloud.testing import FaultyProxy

from pushtasks.database import Database
from pushtasks.entities import KeptTask, TaskRecord
from tests.conftest import PROJECT
from tests.worker.conftest import ON_APP_ENGINE, WorkerClient

Value = Callable[[], int | None]

ADMIN = {"X-AppEngine-User-Email": "admin@example.com", "X-AppEngine-User-Is-Admin": "1"}
FORM = {
    "Content-Type": "application/x-www-form-urlencoded",
    "Host": "localhost",
    "Origin": "http://localhost",
}


@pytest.mark.parametrize(
    ("query", "content_type", "body"),
    [
        ("?counter={}&amount=7", None, ""),
        ("", "application/x-www-form-urlencoded", "counter={}&amount=7"),
        ("?counter={}", "application/x-www-form-urlencoded", "amount=7"),
        ("", "application/json", '{{"counter": "{}", "amount": 7}}'),
    ],
)
def test_a_task_counts_by_query_form_or_json(
    worker: WorkerClient, value: Value, name: str, query: str, content_type: str | None, body: str
) -> None:
    how = {"content_type": content_type} if content_type else {}

    answer = worker.deliver("/update-counter" + query.format(name), body.format(name).encode(), **how)

    assert (answer.status_int, answer.text) == (200, "applied\n")
    assert value() == 7


def test_a_second_delivery_is_answered_2xx_and_changes_nothing(
    worker: WorkerClient, value: Value, name: str
) -> None:
    path = f"/update-counter?counter={name}&amount=7"

    answers = [worker.deliver(path, task=name, retry_count=attempt) for attempt in range(3)]

    assert [answer.text for answer in answers] == ["applied\n", "duplicate\n", "duplicate\n"]
    assert {answer.status_int for answer in answers} == {200}
    assert value() == 7


@pytest.mark.parametrize(
    ("path", "content_type", "body", "handler"),
    [
        ("/update-counter?counter=%ff&amount=1", None, b"", "update-counter"),
        ("/update-counter?counter=\xff&amount=1", None, b"", "update-counter"),
        ("/update-counter", "text/plain; charset=klingon", b"counter=a&amount=1", "update-counter"),
        ("/update-counter", "multipart/form-data; boundary=", b"x", "update-counter"),
        ("/update-counter", "multipart/form-data", b"x", "update-counter"),
        ("/update-counter", "application/json", b"{broken", "update-counter"),
        ("/update-counter", "\xff/\xfe", b"\xff", "update-counter"),
        ("/update-counter", None, b"", "update-counter"),
        ("/update-counter\xff", None, b"counter=a&amount=1", "unreadable-path"),
        ("/update-counter\n", None, b"counter=a&amount=1", "unreadable-path"),
    ],
)
def test_what_webapp2_would_answer_500_is_kept_as_rejected_and_answered_2xx(
    worker: WorkerClient,
    database: Database,
    name: str,
    path: str,
    content_type: str | None,
    body: bytes,
    handler: str,
) -> None:
    how = {"content_type": content_type} if content_type else {}

    first = worker.deliver(path, body, task=name, **how)
    second = worker.deliver(path, body, task=name, **how)

    assert (first.status_int, first.text) == (200, "rejected\n")
    assert (second.status_int, second.text) == (200, "duplicate\n")
    with database.context():
        kept = ndb.Key(KeptTask, TaskRecord.key_of(handler, name).id()).get()
        assert kept.payload == body
        assert kept.headers["x-appengine-taskname"] == name


@pytest.mark.parametrize(("method", "status"), [("PUT", 405), ("PATCH", 501)])
def test_another_method_is_answered_in_one_sentence(worker: WorkerClient, method: str, status: int) -> None:
    answer = worker.request("/update-counter", method=method)

    assert answer.status_int == status
    assert "sent by POST" in answer.text
    assert answer.headers["X-Content-Type-Options"] == "nosniff"


def test_a_body_that_was_cut_short_is_delivered_again_and_never_applied(
    worker: WorkerClient, value: Value, name: str
) -> None:
    whole = f"counter={name}&amount=75".encode()

    cut = worker.deliver(body=whole[:-1], content_length=len(whole), task=name)
    again = worker.deliver(body=whole, task=name, retry_count=1)

    assert cut.status_int == 500
    assert (again.status_int, again.text) == (200, "applied\n")
    assert value() == 75


def test_an_outsider_gets_nothing_applied(worker: WorkerClient, value: Value, name: str) -> None:
    answer = worker.request(f"/update-counter?counter={name}&amount=7")

    assert answer.status_int == 403
    assert "Only the task queue" in answer.text
    assert value() is None


def test_off_app_engine_task_headers_are_not_believed(database: Database, value: Value, name: str) -> None:
    elsewhere = WorkerClient({"GOOGLE_CLOUD_PROJECT": PROJECT})

    assert elsewhere.deliver(f"/update-counter?counter={name}&amount=7").status_int == 403
    assert elsewhere.request("/update-counter", "GET", headers=ADMIN).status_int == 403
    assert value() is None


def test_unknown_routes_and_methods_are_said_so(worker: WorkerClient) -> None:
    nothing = worker.deliver("/update-meter")
    wrong = worker.deliver(method="PUT")

    assert (nothing.status_int, nothing.text) == (
        404,
        "There is nothing at this address. Each kind of task goes to its own, /NAME.\n",
    )
    assert (wrong.status_int, wrong.headers["Allow"]) == (405, "GET, POST")


def test_the_form_is_for_administrators(worker: WorkerClient) -> None:
    assert worker.request("/update-counter", "GET").status_int == 403

    page = worker.request("/update-counter", "GET", headers=ADMIN)

    assert page.status_int == 200
    assert 'name="counter"' in page.text
    assert "default-src 'none'" in page.headers["Content-Security-Policy"]


def test_by_hand_a_second_delivery_of_the_same_name_changes_nothing(
    worker: WorkerClient, value: Value, name: str
) -> None:
    body = f"task={name}&counter={name}&amount=3".encode()

    first = worker.request("/update-counter", body=body, headers={**ADMIN, **FORM})
    second = worker.request("/update-counter", body=body, headers={**ADMIN, **FORM})

    assert "applied" in first.text
    assert "duplicate" in second.text
    assert value() == 3


def test_by_hand_no_real_tasks_name_can_be_taken(worker: WorkerClient, value: Value, name: str) -> None:
    by_hand = f"task={name}&counter={name}&amount=3".encode()
    worker.request("/update-counter", body=by_hand, headers={**ADMIN, **FORM})

    assert worker.deliver(f"/update-counter?counter={name}&amount=7", task=name).text == "applied\n"
    assert value() == 10


@pytest.mark.parametrize(
    "sender",
    [
        {"Sec-Fetch-Site": "cross-site", "Origin": "http://localhost"},
        {"Sec-Fetch-Site": "same-site", "Origin": "http://localhost"},
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": ""},
    ],
)
def test_another_sites_page_cannot_send_the_form(
    worker: WorkerClient, value: Value, name: str, sender: dict[str, str]
) -> None:
    body = f"task={name}&counter={name}&amount=3".encode()

    answer = worker.request("/update-counter", body=body, headers={**ADMIN, **FORM, **sender})

    assert answer.status_int == 403
    assert value() is None


def test_an_administrator_who_only_reads_cannot_send_it(database: Database, value: Value, name: str) -> None:
    worker = WorkerClient(
        {"GOOGLE_CLOUD_PROJECT": PROJECT, "GAE_ENV": "standard", "COUNTER_EDITORS": "boss@example.com"}
    )
    body = f"task={name}&counter={name}&amount=3".encode()

    answer = worker.request("/update-counter", body=body, headers={**ADMIN, **FORM})

    assert answer.status_int == 403
    assert "admin@example.com may look" in answer.text
    assert value() is None


def test_a_form_without_a_task_name_is_told_what_is_missing(worker: WorkerClient) -> None:
    answer = worker.request("/update-counter", body=b"counter=a&amount=3", headers={**ADMIN, **FORM})

    assert answer.status_int == 400
    assert "task is missing. Expected 1 to 500 of letters" in answer.text
    assert 'name="amount" value="3"' in answer.text


def test_when_datastore_is_away_the_answer_is_503(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATASTORE_EMULATOR_HOST", "127.0.0.1:1")
    worker = WorkerClient({"GOOGLE_CLOUD_PROJECT": PROJECT, "GAE_ENV": "standard"})

    answer = worker.deliver("/update-counter?counter=a&amount=1")

    assert answer.status_int == 503
    assert "Not applied this time." in answer.text


def test_contention_is_answered_500_so_that_this_task_alone_backs_off(
    datastore_address: str, monkeypatch: pytest.MonkeyPatch, value: Value, name: str
) -> None:
    with FaultyProxy(datastore=datastore_address) as proxy:
        monkeypatch.setenv("DATASTORE_EMULATOR_HOST", proxy.datastore_address)
        worker = WorkerClient({"GOOGLE_CLOUD_PROJECT": PROJECT, "GAE_ENV": "standard"})
        proxy.set_faults(datastore=[{"method": "Commit", "fault": "request_lost", "code": "ABORTED"}])
        busy = worker.deliver(f"/update-counter?counter={name}&amount=7", task=name)
        proxy.clear_faults()
        again = worker.deliver(f"/update-counter?counter={name}&amount=7", task=name, retry_count=1)

    assert busy.status_int == 500
    assert (again.status_int, again.text) == (200, "applied\n")
    assert value() == 7


def test_when_shutting_down_new_tasks_are_refused_with_500(
    worker: WorkerClient, value: Value, name: str
) -> None:
    worker.worker.close()

    answer = worker.deliver(f"/update-counter?counter={name}&amount=7")

    assert answer.status_int == 500
    assert "shutting down" in answer.text
    assert value() is None


def test_warm_up_answers_even_when_datastore_is_away(
    worker: WorkerClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert worker.request("/_ah/warmup", "GET").status_int == 200
    monkeypatch.setenv("DATASTORE_EMULATOR_HOST", "127.0.0.1:1")
    lonely = WorkerClient({"GOOGLE_CLOUD_PROJECT": PROJECT, "GAE_ENV": "standard"})
    assert lonely.request("/_ah/warmup", "GET").status_int == 200


@pytest.fixture
def worker_through_ndb(database: Database) -> WorkerClient:
    """A worker that commits through google-cloud-ndb alone."""
    return WorkerClient({**ON_APP_ENGINE, "COUNTER_FAST_PATH": "off"})


def test_through_ndb_or_past_it_a_task_is_counted_alike(
    worker: WorkerClient, worker_through_ndb: WorkerClient, value: Value, name: str
) -> None:
    path = f"/update-counter?counter={name}&amount=7"
    for task, answers in (("a", ["applied\n", "duplicate\n"]), ("b", ["applied\n", "duplicate\n"])):
        sent = [one.deliver(path, task=f"{name}-{task}").text for one in (worker, worker_through_ndb)]
        assert sent == answers
    assert value() == 14


def test_a_commit_that_ndb_does_not_send_is_no_success(
    worker_through_ndb: WorkerClient, value: Value, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As if a release of google-cloud-ndb skipped the commit, or sent it by another way."""
    worker = worker_through_ndb
    path = f"/update-counter?counter={name}&amount=7"
    assert worker.deliver(path, task=f"{name}-first").text == "applied\n"

    def skip(transaction: bytes, **how: object) -> object:
        return _datastore_api.rollback(transaction)

    with monkeypatch.context() as patch:
        patch.setattr(_datastore_api, "commit", skip)
        assert worker.deliver(path, task=name).status_int == 500

    assert value() == 7
    assert worker.deliver(path, task=name, retry_count=1).text == "applied\n"
    assert value() == 14


def test_a_commit_of_another_transaction_is_no_success(
    worker_through_ndb: WorkerClient, value: Value, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker = worker_through_ndb
    path = f"/update-counter?counter={name}&amount=7"
    assert worker.deliver(path, task=f"{name}-first").text == "applied\n"
    commit = _datastore_api.commit

    def commit_another(transaction: bytes, **how: object) -> object:
        return commit(b"another", **how)

    with monkeypatch.context() as patch:
        patch.setattr(_datastore_api, "commit", commit_another)
        assert worker.deliver(path, task=name).status_int == 500

    assert value() == 7


@pytest.mark.parametrize("parameter", ["charset={}", "boundary*={}''b", "boundary=b"])
def test_charsets_that_a_request_names_are_not_looked_up(
    worker: WorkerClient, name: str, parameter: str
) -> None:
    """Python keeps every name that it was ever asked for."""
    before = set(encodings._cache)
    body = f"--b\r\nContent-Disposition: form-data; name*={name}''x\r\n\r\n1\r\n--b--\r\n".encode()
    for kind in (
        "application/json",
        "application/x-www-form-urlencoded",
        "multipart/form-data",
        "text/plain",
    ):
        content_type = f"{kind}; {parameter.format(name)}"
        assert worker.deliver(body=body, content_type=content_type).status_int == 200
        for path in ("/update-counter", "/nowhere", "/_ah/warmup", "/update-counter\xff"):
            outsider = worker.request(path, body=body, headers={"Content-Type": content_type})
            assert outsider.status_int in (403, 404, 405)
        by_hand = {**ADMIN, **FORM, "Content-Type": content_type}
        worker.request("/update-counter", body=body, headers=by_hand)
    assert set(encodings._cache) == before


def test_the_form_shows_why_a_task_was_rejected_and_not_in_green(worker: WorkerClient) -> None:
    body = b"task=by-form-1&counter=a&amount=abc"
    page = worker.request("/update-counter", body=body, headers={**ADMIN, **FORM}).text
    assert '<p class="notice bad" role="status">' in page
    assert "amount is &#39;abc&#39;. Expected a whole number" in page
