"""Kept tasks: listed, edited, enqueued again and discarded from the dashboard."""

from __future__ import annotations

import csv
import io
import json
import re
import secrets
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote, urlencode

import pytest
from localcloud.testing.waiting import wait_until

from counters.settings import CounterSettings
from pushtasks import kept_tasks
from pushtasks.database import Database
from pushtasks.entities import DELETED, GAVE_UP, KEPT, REFUSED, REJECTED, KeptTask
from pushtasks.queues import NewTask, TaskQueues
from tests.default.conftest import ADA, OUR_PAGE, Answer, DefaultClient

pytestmark = pytest.mark.usefixtures("nothing_kept")

Reject = Callable[..., str]
ENQUEUED_AT = datetime.now(UTC)


@pytest.fixture
def reject(environ: dict[str, str], database: Database) -> Reject:
    """Enqueue a task that will be rejected; its id once it is kept."""
    queues = TaskQueues(CounterSettings.read(environ))

    def send(body: bytes, path: str = "/update-counter", content_type: str = "application/json") -> str:
        name = secrets.token_hex(16)
        queues.create(NewTask(name, "counter-updates-0", body, path, ENQUEUED_AT, content_type=content_type))
        task_id = f"{name}@update-counter"

        def is_kept() -> bool:
            with database.context():
                return kept_tasks.find(database, task_id) is not None

        wait_until(is_kept, "the task to be rejected")
        return task_id

    return send


def _told(default: DefaultClient, answer: Answer) -> str:
    """What the page says about the last action."""
    assert answer.status == 303
    page = default.admin(answer.headers["Location"].partition("#")[0]).text
    found = re.search(r'id="did"[^>]*>(.*?)</p>', page, re.S)
    assert found
    return re.sub("<[^>]+>", "", found.group(1)).strip()


def test_kept_tasks_are_grouped_by_reason(default: DefaultClient, reject: Reject, name: str) -> None:
    for amount in (b'"abc"', b"0", b"1.5"):
        reject(b'{"counter": "%b", "amount": %b}' % (name.encode(), amount))
    reject(b'{"amount": 1}')
    groups = default.admin("/admin/statistics.json").json["kept"]
    assert groups["count"] == 4
    assert [group["count"] for group in groups["reasons"]] == [3, 1]
    assert groups["reasons"][0]["reason"].startswith("amount: expected a whole number")
    page = default.admin("/admin").text
    assert f'href="/admin/kept?reason={quote(groups["reasons"][1]["reason"]).replace("+", "%20")}' in page


def test_a_kept_task_shows_its_payload_headers_and_reason_as_text(
    default: DefaultClient, reject: Reject
) -> None:
    task_id = reject(b'{"counter": "<script>alert(1)</script>", "amount": 1}')
    for path in ("/admin/kept", f"/admin/kept/task?id={quote(task_id)}"):
        page = default.admin(path).text
        assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
        assert "<script>alert" not in page
    assert "x-appengine-taskretrycount" in page
    assert "counter is" in page
    assert default.admin("/admin/kept/task?id=nobody").status == 404
    assert default.admin("/admin/kept/task").status == 404


@pytest.mark.parametrize(
    ("outcome", "heading"),
    [
        (REJECTED, "Rejected task"),
        (GAVE_UP, "Task that failed too often"),
        (REFUSED, "Task that its queue refused"),
        (DELETED, "Deleted task"),
    ],
)
def test_a_kept_task_says_what_became_of_it(
    default: DefaultClient, database: Database, name: str, outcome: str, heading: str
) -> None:
    with database.context():
        KeptTask(
            id=f"{name}@update-counter",
            handler="update-counter",
            outcome=outcome,
            state=KEPT,
            reason="a reason",
            detail="A detail.",
            queue="counter-updates-0",
            path="/update-counter",
            payload=b"{}",
            kept_at=ENQUEUED_AT,
        ).put()
    assert f"<h1>{heading} " in default.admin(f"/admin/kept/task?id={name}@update-counter").text
    listed = default.admin("/admin/kept").text
    assert (
        f">{outcome.replace('gave-up', 'gave up').replace('refused', 'refused by the queue')}</span>"
        in listed
    )
    assert "failed too often" in listed


def test_bytes_that_are_no_text_are_shown_and_sent_again_as_they_are(
    default: DefaultClient, reject: Reject, database: Database
) -> None:
    task_id = reject(b"\xff\xfe", content_type="text/plain")
    page = default.admin(f"/admin/kept/task?id={quote(task_id)}").text
    assert r"\xff\xfe" in page
    answer = default.admin_post("/admin/kept/edited", id=task_id, path="/update-counter", payload="")
    assert "1 enqueued again" in _told(default, answer)

    def came_back() -> bool:
        with database.context():
            again = kept_tasks.find(database, task_id.replace("@", "-r1@"))
        return again is not None and again.payload == b"\xff\xfe"

    wait_until(came_back, "the task to be rejected again, with the same bytes")


def test_an_edited_task_is_enqueued_again_under_a_derived_name_and_counts(
    default: DefaultClient, reject: Reject, name: str, wait_for_state: Callable[[str, str], Any]
) -> None:
    task_id = reject(b'{"counter": "%b", "amount": "12x"}' % name.encode())
    payload = json.dumps({"counter": name, "amount": 12})
    answer = default.admin_post(
        "/admin/kept/edited", id=task_id, path="/update-counter", payload=payload, back="/admin/kept"
    )
    assert _told(default, answer).startswith("Enqueue again, edited, task ")
    wait_for_state(task_id.removesuffix("@update-counter") + "-r1", "applied")
    assert default.get(f"/api/counters/{name}").json["value"] == 12
    state = default.admin("/admin/kept?state=re-enqueued").text
    assert task_id.removesuffix("@update-counter") in state
    assert "Enqueued again as" in state


def test_a_double_click_enqueues_one_task(
    default: DefaultClient, reject: Reject, name: str, wait_for_state: Callable[[str, str], Any]
) -> None:
    task_id = reject(b'{"counter": "%b", "amount": "x"}' % name.encode())
    payload = json.dumps({"counter": name, "amount": 5})

    def click(_: int) -> Answer:
        return default.admin_post("/admin/kept/edited", id=task_id, path="/update-counter", payload=payload)

    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(click, range(4)))
    assert {answer.status for answer in answers} == {303}
    wait_for_state(task_id.removesuffix("@update-counter") + "-r1", "applied")
    assert "1 already enqueued again" in _told(default, click(0))
    assert default.get(f"/api/counters/{name}").json["value"] == 5


def test_a_query_can_be_edited_but_not_the_path(
    default: DefaultClient, reject: Reject, name: str, wait_for_state: Callable[[str, str], Any]
) -> None:
    task_id = reject(b"", f"/update-counter?counter={name}&amount=x")
    elsewhere = default.admin_post("/admin/kept/edited", id=task_id, path="/elsewhere", payload="")
    assert (elsewhere.status, elsewhere.json["field"]) == (400, "path")
    path = f"/update-counter?counter={name}&amount=3"
    assert default.admin_post("/admin/kept/edited", id=task_id, path=path, payload="").status == 303
    wait_for_state(task_id.removesuffix("@update-counter") + "-r1", "applied")
    assert default.get(f"/api/counters/{name}").json["value"] == 3


def test_line_ends_as_browsers_send_them_are_no_edit(default: DefaultClient, reject: Reject) -> None:
    task_id = reject(b'{\n"amount": 1\n}')
    answer = default.admin_post(
        "/admin/kept/edited", id=task_id, path="/update-counter", payload='{\r\n"amount": 1\r\n}'
    )
    assert _told(default, answer).startswith("Enqueue again, task ")


def test_selected_tasks_are_discarded_and_can_still_be_enqueued(
    default: DefaultClient, reject: Reject
) -> None:
    first, second, third = (reject(b'{"amount": %d}' % number) for number in range(1, 4))
    answer = default.admin_post("/admin/kept/selected", id=[first, second], action="discard")
    assert "2 selected tasks: 2 discarded" in _told(default, answer)
    left = default.admin("/admin/kept").text
    assert third.partition("@")[0] in left
    assert first.partition("@")[0] not in left
    assert first.partition("@")[0] in default.admin("/admin/kept?state=discarded").text
    again = default.admin_post("/admin/kept/selected", id=[first, second, "gone"], action="discard")
    told = _told(default, again)
    assert "2 already discarded" in told
    assert "1 not found" in told
    revived = default.admin_post("/admin/kept/selected", id=[first], action="enqueue again")
    assert "1 enqueued again" in _told(default, revived)


def test_nothing_selected_or_no_action_is_a_400(default: DefaultClient, reject: Reject) -> None:
    assert default.admin_post("/admin/kept/selected", action="discard").status == 400
    answer = default.admin_post("/admin/kept/selected", id="x", action="burn")
    assert (answer.status, answer.json["field"]) == (400, "action")
    assert default.admin_post("/admin/kept/edited", id="x").status == 404


def test_all_of_one_reason_means_those_that_the_page_asked_about(
    default: DefaultClient, reject: Reject
) -> None:
    for number in range(3):
        reject(b'{"amount": %d}' % (number + 1))
    other = reject(b'{"counter": "a", "amount": "x"}')
    reasons = default.admin("/admin/statistics.json").json["kept"]["reasons"]
    reason = next(each["reason"] for each in reasons if each["count"] == 3)
    query = urlencode({"reason": reason, "action": "discard"})
    question = default.admin(f"/admin/kept/all?{query}").text
    assert "Discard all 3?" in question
    fields = dict(re.findall(r'<input type="hidden" name="([a-z]+)" value="([^"]*)"', question))
    assert fields["count"] == "3"
    late = reject(b'{"amount": 4}')
    fields["reason"] = reason
    told = _told(default, default.admin_post("/admin/kept/all", **fields))
    assert "3 discarded (shown: 3; kept up to " in told
    left = default.admin("/admin/kept").text
    assert late.partition("@")[0] in left
    assert other.partition("@")[0] in left
    assert default.admin_post("/admin/kept/all", action="discard", cutoff="x", count="1").status == 400
    bad = default.admin_post("/admin/kept/all", reason="r", action="discard", cutoff="yesterday")
    assert (bad.status, bad.json["field"]) == (400, "cutoff")


def test_all_of_one_reason_are_enqueued_again(default: DefaultClient, reject: Reject) -> None:
    for number in range(3):
        reject(b'{"amount": %d}' % (number + 1))
    [reason] = [each["reason"] for each in default.admin("/admin/statistics.json").json["kept"]["reasons"]]
    question = default.admin(f"/admin/kept/all?{urlencode({'reason': reason})}").text
    fields = dict(re.findall(r'<input type="hidden" name="([a-z]+)" value="([^"]*)"', question))
    told = _told(default, default.admin_post("/admin/kept/all", **{**fields, "reason": reason}))
    assert "3 enqueued again" in told


def test_kept_tasks_come_in_pages_and_as_csv(default: DefaultClient, reject: Reject) -> None:
    sent = [reject(b'{"amount": %d}' % number).partition("@")[0] for number in range(1, 23)]
    first = default.admin("/admin/kept").text
    following = re.search(r'rel="next" href="([^"]+)"', first)
    assert following
    second = default.admin(following.group(1).replace("&amp;", "&")).text
    shown = [name for name in sent if name in first], [name for name in sent if name in second]
    assert [len(each) for each in shown] == [20, 2]
    assert set(shown[0]) | set(shown[1]) == set(sent)
    assert default.admin("/admin/kept?cursor=zzz").status == 400
    assert default.admin("/admin/kept?state=lost").status == 400
    rows = list(csv.reader(io.StringIO(default.admin("/admin/kept.csv").text)))
    assert rows[0][0] == "task"
    assert {row[0] for row in rows[1:]} == set(sent)


def test_a_payload_that_looks_like_a_formula_is_defused_in_csv(
    default: DefaultClient, reject: Reject
) -> None:
    reject(b"=HYPERLINK(1)", content_type="application/x-www-form-urlencoded")
    [_, row] = csv.reader(io.StringIO(default.admin("/admin/kept.csv").text))
    assert "'=HYPERLINK(1)" in row


PAGE = {"Accept": "text/html"}


def test_an_edit_that_would_be_rejected_again_is_not_enqueued_and_stays_in_the_form(
    default: DefaultClient, reject: Reject, name: str
) -> None:
    task_id = reject(f'{{"counter": "{name}", "amount": "x"}}'.encode())
    fields = {"id": task_id, "path": "/update-counter", "payload": '{"counter": '}
    answer = default.post_form("/admin/kept/edited", fields, {**ADA, **OUR_PAGE, **PAGE})
    assert answer.status == 400
    assert "Nothing was enqueued: it would be rejected again." in answer.text
    assert 'aria-invalid="true"' in answer.text
    assert "\n{&#34;counter&#34;: </textarea>" in answer.text
    assert default.admin(f"/admin/kept/task?id={task_id}").text.count("needs a decision") == 1


def test_nothing_ticked_is_told_on_the_list_itself(default: DefaultClient, reject: Reject) -> None:
    reject(b'{"amount": 1}')
    answer = default.post_form("/admin/kept/selected", {"action": "discard"}, {**ADA, **OUR_PAGE, **PAGE})
    assert answer.status == 400
    assert "No task is selected. Tick some first." in answer.text
    assert "<h1>Rejected tasks</h1>" in answer.text


def test_kept_tasks_are_filtered_by_kind_and_by_text(
    default: DefaultClient, reject: Reject, name: str
) -> None:
    found = reject(f'{{"counter": "{name}", "amount": "needle"}}'.encode())
    other = reject(b'{"amount": 1}')
    page = default.admin("/admin/kept?text=NEEDLE&kind=update-counter").text
    assert found.partition("@")[0] in page
    assert other.partition("@")[0] not in page
    assert "None." in default.admin("/admin/kept?kind=another").text


def test_a_task_and_the_one_that_it_was_enqueued_again_as_lead_to_each_other(
    default: DefaultClient, reject: Reject, name: str, wait_for_state: Callable[[str, str], Any]
) -> None:
    task_id = reject(f'{{"counter": "{name}", "amount": "x"}}'.encode())
    task = task_id.partition("@")[0]
    edited = json.dumps({"counter": name, "amount": 2})
    default.admin_post("/admin/kept/edited", id=task_id, path="/update-counter", payload=edited)
    wait_for_state(f"{task}-r1", "applied")
    first = default.admin(f"/admin/tasks/{task}?kind=update-counter").text
    again = default.admin(f"/admin/tasks/{task}-r1?kind=update-counter").text
    assert f'href="/admin/tasks/{task}-r1?kind=update-counter"' in first
    assert f'href="/admin/tasks/{task}?kind=update-counter"' in again
