"""Queues and tasks: looked at, paused, purged; run, deleted, created by hand."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import pytest
from localcloud.tasks import TasksServer

from tests.console.visitor import Form, Page, Visitor
from tests.tasks.harness import Handler

QUEUE = "projects/local-project/locations/us-central1/queues/q"


def pause(visitor: Visitor) -> Page:
    page = visitor.get("/tasks/queue", name=QUEUE)
    return visitor.submit(page.form("/tasks/queue"), ("action", "pause"))


def create(visitor: Visitor, **fields: str) -> Page:
    form = visitor.get("/tasks/new", queue=QUEUE).form("/tasks/new")
    for name, value in fields.items():
        form.set(name, value)
    return visitor.submit(form)


def test_a_queue_shows_its_configuration_and_figures(tasks_visitor: Visitor) -> None:
    assert "500/s" in tasks_visitor.get("/tasks").text

    page = tasks_visitor.get("/tasks/queue", name=QUEUE)

    for name, value in (
        ("max_concurrent_dispatches", "50"),
        ("min_backoff", "0.01 s"),
        ("max_attempts", "unlimited"),
    ):
        assert re.search(rf"<dt>{name}</dt>\s*<dd>{value}</dd>", page.text), name


def test_a_paused_queue_keeps_its_tasks_until_it_is_resumed(tasks_visitor: Visitor, handler: Handler) -> None:
    assert pause(tasks_visitor).message == "q is paused."
    created = create(tasks_visitor, target="/work", body="hello", headers="X-Color: blue", name="mine")
    assert created.message == "mine was created."
    assert "/work" in created.text
    assert handler.requests == []

    task = tasks_visitor.get("/tasks/task", name=f"{QUEUE}/tasks/mine")
    assert "hello" in task.text
    assert "blue" in task.text
    page = tasks_visitor.get("/tasks/queue", name=QUEUE)
    assert tasks_visitor.submit(page.form("/tasks/queue"), ("action", "resume")).message == "q runs again."

    handler.wait_for(1)
    assert (handler.requests[0].path, handler.requests[0].body) == ("/work", b"hello")
    assert handler.requests[0].headers["x-color"] == "blue"


def test_each_attempt_is_told_with_its_answer(
    tasks_visitor: Visitor, handler: Handler, tasks_server: TasksServer
) -> None:
    handler.statuses = [500, 503]
    create(tasks_visitor, target="/work", name="slow")
    tasks_server.wait_idle()

    page = tasks_visitor.get("/tasks/task", name=f"{QUEUE}/tasks/slow")

    assert "The task is gone" in page.text
    answers = re.findall(r'<td class="number">(\d+)</td>\s*<td class="state">(\d+)', page.text)
    assert answers == [("3", "200"), ("2", "503"), ("1", "500")]
    failed = tasks_visitor.get("/tasks/queue", name=QUEUE, failed=1)
    assert re.findall(r'<td class="state">(\d+)', failed.text) == ["503", "500"]
    assert "slow" in tasks_visitor.get("/").text


def test_a_task_is_run_now_and_deleted(tasks_visitor: Visitor, handler: Handler) -> None:
    handler.statuses = [500]  # so that the task is still there when its page is read
    pause(tasks_visitor)
    for name in ("first", "second"):
        create(tasks_visitor, target=f"/{name}", name=name)

    def act(name: str, action: str) -> Page:
        page = tasks_visitor.get("/tasks/task", name=f"{QUEUE}/tasks/{name}")
        return tasks_visitor.submit(page.form("/tasks/task"), ("action", action))

    assert act("first", "run").message.startswith("An attempt was started.")
    handler.wait_for(1)
    assert handler.requests[0].path == "/first"
    assert act("second", "delete").message == "second was deleted."
    gone = tasks_visitor.get("/tasks/task", name=f"{QUEUE}/tasks/second")
    assert gone.status == 404


def test_purging_asks_first(tasks_visitor: Visitor, tasks_server: TasksServer) -> None:
    pause(tasks_visitor)
    for number in range(3):
        create(tasks_visitor, target="/", name=f"task-{number}")

    asked = tasks_visitor.get("/tasks/purge", name=QUEUE)
    assert "<strong>3</strong> tasks of <strong>q</strong>" in asked.text
    assert "No task waits or runs." in tasks_visitor.submit(asked.form("/tasks/purge")).text


def test_bytes_are_shown_as_bytes_and_survive_a_copy(tasks_visitor: Visitor, handler: Handler) -> None:
    pause(tasks_visitor)
    create(tasks_visitor, target="/bytes", body="AP8KDQ==", encoding="base64", name="bytes", method="PUT")

    page = tasks_visitor.get("/tasks/task", name=f"{QUEUE}/tasks/bytes")
    assert "000000  00 ff 0a 0d" in page.text
    form = tasks_visitor.get(page.links["Copy"]).form("/tasks/new")
    assert tasks_visitor.submit(form).status == 200
    resume = tasks_visitor.get("/tasks/queue", name=QUEUE).form("/tasks/queue")
    tasks_visitor.submit(resume, ("action", "resume"))

    handler.wait_for(2)
    assert {(each.method, each.body) for each in handler.requests} == {("PUT", b"\0\xff\n\r")}


def test_a_task_may_wait_for_its_time(tasks_visitor: Visitor, handler: Handler) -> None:
    due = datetime.now(UTC).replace(microsecond=0) + timedelta(hours=1)

    created = create(tasks_visitor, target="/", name="later", when=due.isoformat())

    assert f"{due:%Y-%m-%d %H:%M:%S}.000Z" in created.text
    assert handler.requests == []


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"headers": "nonsense"}, "not a header"),
        ({"when": "tomorrow"}, "not a time"),
        ({"body": "?", "encoding": "base64"}, "base64"),
        ({"target": "nowhere"}, "INVALID_ARGUMENT"),
    ],
)
def test_a_task_that_cannot_be_is_told_and_the_form_kept(
    tasks_visitor: Visitor, fields: dict[str, str], said: str
) -> None:
    page = create(tasks_visitor, **{"name": "kept", **fields})

    assert page.status == 400
    assert said in page.message
    assert ("name", "kept") in page.form("/tasks/new").fields


def test_an_unknown_queue_is_told_so(tasks_visitor: Visitor) -> None:
    page = tasks_visitor.get("/tasks/queue", name=QUEUE + "-no")

    assert page.status == 404
    assert "NOT_FOUND" in page.message


def test_thousands_of_tasks_come_page_by_page(tasks_visitor: Visitor, tasks_server: TasksServer) -> None:
    pause(tasks_visitor)
    form = tasks_visitor.get("/tasks/new", queue=QUEUE).form("/tasks/new")
    for number in range(120):
        filled = Form(form.method, form.action, list(form.fields))
        filled.set("name", f"task-{number:03}")
        tasks_visitor.submit(filled)

    page = tasks_visitor.get("/tasks/queue", name=QUEUE)
    following = tasks_visitor.get(page.links["Next page"])

    seen = [each for part in (page, following) for each in re.findall(r">(task-\d+)</a>", part.text)]
    assert seen == [f"task-{number:03}" for number in range(120)]
