"""Histories, single tasks, what waits to retry, and what monitoring asks: through the application itself."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import Any

import pytest
from localcloud.testing.waiting import wait_until

from counters.update_counter import UpdateCounter
from pushtasks import versions
from pushtasks.database import Database
from pushtasks.delivery import utc_now
from pushtasks.names import derived_name, queue_of
from pushtasks.overview import Overview, Overviews
from pushtasks.queues import NewTask, TaskQueues
from pushtasks.settings import Settings
from tests.default.conftest import ADA, DefaultClient

KEY = "a-key-for-metrics-of-16"

WaitForState = Callable[[str, str], Any]


def _increment(default: DefaultClient, name: str, **headers: str) -> str:
    sent = {each.replace("_", "-"): value for each, value in headers.items()}
    return str(default.post_json(f"/api/counters/{name}/increments", {"amount": 2}, sent).json["task"])


def test_a_counters_history_is_asked_for_by_span(
    default: DefaultClient, name: str, wait_for_state: WaitForState
) -> None:
    wait_for_state(_increment(default, name), "applied")

    answer = default.get(f"/api/counters/{name}?history=hour,day,week,year").json

    history = answer["history"]
    assert [len(history[span]["amounts"]) for span in ("hour", "day", "week", "year")] == [60, 24, 168, 400]
    assert all(
        sum(each["amounts"]) + each["value_before"] == answer["value"] == 2 for each in history.values()
    )
    assert sum(history["hour"]["increments"]) == 1
    assert history["hour"]["period_s"] == 60
    assert "history" not in default.get(f"/api/counters/{name}").json
    bad = default.get(f"/api/counters/{name}?history=decade")
    assert (bad.status, bad.json["field"]) == (400, "history")


@pytest.mark.parametrize("span", ["hour", "day", "week", "year"])
def test_every_figure_has_a_history(
    default: DefaultClient, name: str, wait_for_state: WaitForState, span: str
) -> None:
    wait_for_state(_increment(default, name), "applied")

    answer = default.admin(f"/admin/history.json?span={span}").json

    last = answer["handlers"]["update-counter"][-1]
    assert sum(each["applied"] for each in answer["handlers"]["update-counter"]) >= 1
    assert {
        "applied",
        "first_attempt_success",
        "retry_amplification",
        "latency_ms",
        "failures",
    } <= last.keys()
    assert len(answer["over_all"]) == len(answer["handlers"]["update-counter"])
    assert default.admin("/admin/history.json?span=decade").status == 400


def test_a_task_is_found_by_its_name_and_by_its_key_a_batch_too(
    default: DefaultClient, name: str, wait_for_state: WaitForState
) -> None:
    key, batch_key = f"order-{name}", f"batch-{name}"
    task = _increment(default, name, Idempotency_Key=key)
    batch = default.post_json(
        "/api/increments", {"increments": [{"counter": name, "amount": 1}]}, {"Idempotency-Key": batch_key}
    ).json["task"]
    wait_for_state(task, "applied")
    wait_for_state(batch, "applied")

    for text in (task, key):
        found = default.admin(f"/admin/find.json?q={text}").json
        assert (found["task"], found["kind"], found["state"]) == (task, "update-counter", "applied")
    assert found["note"] == {"counter": name, "amount": 2}
    assert [event["what"] for event in found["events"]] == ["created", "applied", "record expires"]
    assert default.admin(f"/admin/find.json?q={batch_key}&kind=update-counter").json["task"] == batch


def test_what_was_never_seen_is_told_so(default: DefaultClient) -> None:
    answer = default.get("/admin/find.json?q=order-nobody-sent", {**ADA, "Accept": "application/json"})

    assert answer.status == 404
    assert "No task was ever seen under 'order-nobody-sent'" in answer.json["detail"]
    assert default.admin("/admin/find.json?q=x&kind=no-such-kind").status == 404
    assert default.admin("/admin/find.json?q=").status == 400


def test_a_failing_task_tells_its_attempts_and_what_it_carries(
    default: DefaultClient, failing_task: tuple[str, str]
) -> None:
    queue, name = failing_task

    found = default.admin(f"/admin/task.json?task={name}&kind=nobody-answers-here&queue={queue}").json

    assert (found["state"], found["queue"], found["payload"]) == ("pending", queue, "<hostile>")
    assert found["attempts"] >= 1
    assert "404" in found["last_answer"]
    assert found["headers"]["x-a"] == "<b>"
    whats = [event["what"] for event in found["events"]]
    assert whats[0] == "created"
    assert {"last attempt", "last answer", "next try"} <= set(whats)


def test_a_rejected_task_and_the_one_it_is_enqueued_again_as_lead_to_each_other(
    default: DefaultClient, environ: dict[str, str], database: Database, nothing_kept: None
) -> None:
    name = secrets.token_hex(16)
    queue = queue_of(name, UpdateCounter.queues)
    TaskQueues(Settings.read(environ)).create(
        NewTask(name, queue, b'{"counter": "a", "amount": 0}', "/update-counter", utc_now())
    )

    def find(text: str) -> Any:
        return default.admin(f"/admin/find.json?q={text}").json

    wait_until(lambda: find(name).get("state") == "rejected", "the task to be rejected")
    before = find(name)
    assert before["payload"] == '{"counter": "a", "amount": 0}'
    assert [event["detail"] for event in before["events"] if event["what"] == "rejected"] == [
        "amount is 0. Expected a whole number from -2147483648 to 2147483647, not 0."
    ]
    default.admin_post("/admin/kept/selected", id=f"{name}@update-counter", action="enqueue again")

    again = derived_name(name)
    assert find(name)["enqueued_again_as"]["name"] == again
    wait_until(lambda: find(again).get("state") == "rejected", "the new task to be rejected")
    assert find(again)["enqueued_again_from"]["name"] == name


def test_what_waits_to_retry_is_grouped_by_answer_and_filtered(
    default: DefaultClient, failing_task: tuple[str, str]
) -> None:
    queue, name = failing_task

    answer = default.admin(f"/admin/retrying.json?queue={queue}&text={name}").json

    [group] = answer["groups"]
    assert (group["answer"], group["count"], group["queues"]) == ("404", 1, {queue: 1})
    assert group["first_seen"] <= group["last_seen"]
    assert (answer["page"], answer["pages"], [each["task"] for each in answer["tasks"]]) == (1, 1, [name])
    assert default.admin("/admin/retrying.json?answer=503").json["groups"] == []
    assert default.admin("/admin/retrying.json?page=x").status == 400


def test_the_backlog_is_sampled_once_a_minute_by_cron_or_by_whoever_looks(
    default: DefaultClient, database: Database
) -> None:
    assert default.get("/admin/sample").status == 403
    assert default.get("/admin/sample", {"X-Appengine-Cron": "true"}).status == 200
    before = default.admin("/admin/backlog.json").json

    samples = before["counter-updates-0"]
    assert {"at", "waiting", "oldest_wait_s"} <= samples[-1].keys()
    assert len(samples) == len({each["at"] for each in samples})


def test_health_is_for_everybody_and_says_the_level_alone(default: DefaultClient) -> None:
    answer = default.get("/health")

    assert (answer.status, answer.text) in ((200, "ok\n"), (200, "degraded\n"), (503, "failing\n"))
    assert answer.headers["Cache-Control"] == "no-store"


def test_health_is_read_once_however_often_it_is_asked(
    default: DefaultClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads: list[int] = []
    read = Overviews.essentials

    def counted(self: Overviews) -> Overview:
        reads.append(1)
        return read(self)

    monkeypatch.setattr(Overviews, "essentials", counted)

    assert len({default.get("/health").text for _ in range(20)}) == 1
    assert len(reads) == 1


@pytest.mark.usefixtures("database")
def test_health_is_503_while_the_queue_is_away(environ: dict[str, str]) -> None:
    away = DefaultClient({**environ, "CLOUD_TASKS_EMULATOR_HOST": "127.0.0.1:1"})

    assert (away.get("/health").status, away.get("/health").text) == (503, "failing\n")


def test_metrics_are_for_holders_of_a_key(environ: dict[str, str], default: DefaultClient) -> None:
    keyed = DefaultClient({**environ, "COUNTER_METRICS_KEYS": f"another-key-of-16-characters,{KEY}"})

    assert default.get("/metrics", {"Authorization": f"Bearer {KEY}"}).status == 401
    refused = keyed.get("/metrics", {"Authorization": f"Bearer {KEY}x", "Accept": "application/json"})
    assert (refused.status, refused.headers["WWW-Authenticate"]) == (401, "Bearer")
    assert "COUNTER_METRICS_KEYS" in refused.json["detail"]
    answer = keyed.get("/metrics", {"Authorization": f"Bearer {KEY}"})
    assert answer.status == 200
    assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")
    lines = answer.text.splitlines()
    levels = [line.rpartition(" ")[2] for line in lines if line.startswith("pushtasks_verdict{")]
    assert sorted(levels) == ["0", "0", "1"]
    assert any(line.startswith("pushtasks_failures_total{") for line in lines)


def test_a_version_is_told_once_and_marked(default: DefaultClient, database: Database) -> None:
    version = "v" + secrets.token_hex(4)
    settings = Settings.read({"GOOGLE_CLOUD_PROJECT": "p", "GAE_SERVICE": "worker", "GAE_VERSION": version})
    with database.context():
        for _ in range(3):
            versions.tell(database, settings, utc_now())
        seen = [each for each in versions.seen(database) if each.version == version]

    assert len(seen) == 1
    labels = [mark["label"] for mark in default.admin("/admin/history.json").json["marks"]]
    assert f"worker {version}" in labels
