"""The dashboard's first screen, its data for programs, and a counter's page."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import pytest
from google.cloud import ndb
from localcloud.testing.waiting import wait_until

from counters.entities import Counter, CounterShard, shard_id
from pushtasks import admin_actions, statistics
from pushtasks.database import Database
from pushtasks.delivery import utc_now
from pushtasks.entities import TaskStatistics
from pushtasks.tally import Tally
from pushtasks.work import Lookup, UnitOfWork
from tests.default.conftest import ADA, DefaultClient

REGIONS = [
    "as-of",
    "queues-state",
    "verdict",
    "cards",
    "charts",
    "counters",
    "retrying",
    "kept",
    "queues",
    "actions",
]


@pytest.fixture
def applied(default: DefaultClient, name: str, wait_for_state: Callable[[str, str], Any]) -> str:
    """A counter with three tasks applied."""
    for amount in (1, 2, 3):
        answer = default.post_json(f"/api/counters/{name}/increments", {"amount": amount})
        wait_for_state(answer.json["task"], "applied")
    return name


def test_the_page_and_its_fragment_have_the_same_regions(default: DefaultClient, applied: str) -> None:
    page, fragment = default.admin("/admin").text, default.admin("/admin/live").text
    for region in REGIONS:
        assert len(re.findall(f'id="{region}"[^>]*data-region', page)) == 1, region
        assert len(re.findall(f'id="{region}"[^>]*data-region', fragment)) == 1, region
    assert "<html" not in fragment


def test_the_page_names_where_it_is_and_who_looks(default: DefaultClient) -> None:
    page = default.admin("/admin").text
    assert "test-project / default" in page
    assert "ada@example.com" in page
    assert "may change" in page


def test_every_card_says_how_many_it_speaks_of(default: DefaultClient, applied: str) -> None:
    cards = re.findall(r'<li class="card[^"]*">.*?</li>', default.admin("/admin").text, re.S)
    labels = [re.search(r'class="label">([^<]+)<', card).group(1) for card in cards]  # type: ignore[union-attr]
    assert labels == [
        "Applied",
        "Pending",
        "Between retries",
        "Oldest waiting",
        "First-attempt success",
        "Retry amplification",
        "Duplicates suppressed",
        "Rejected",
    ]
    for card in cards:
        note = re.search(r'class="note">([^<]+)<', card).group(1)  # type: ignore[union-attr]
        assert re.search(r"\d", note), card
        assert 'href="#' in card


def test_charts_are_named_described_and_given_as_tables(default: DefaultClient, applied: str) -> None:
    page = default.admin("/admin").text
    for chart in ("minutes", "attempts", "latency"):
        assert f'aria-labelledby="{chart}-title {chart}-desc"' in page
        assert f'<title id="{chart}-title">' in page
        assert f'<desc id="{chart}-desc">' in page
    assert page.count("<details") >= 3
    assert "style=" not in page
    assert "onclick" not in page


def test_statistics_grow_by_what_was_applied(
    default: DefaultClient, name: str, wait_for_state: Callable[[str, str], Any]
) -> None:
    before = default.admin("/admin/statistics.json").json
    task = default.post_json(f"/api/counters/{name}/increments", {"amount": 9}).json["task"]
    wait_for_state(task, "applied")
    after = default.admin("/admin/statistics.json").json
    assert after["total"]["applied"] == before["total"]["applied"] + 1
    assert after["last_hour"]["applied"] >= 1
    assert "update-counter" in [each["handler"] for each in after["handlers"]]
    assert len(after["minutes"]) == 60
    assert [queue["name"] for queue in after["queues"]] == [f"counter-updates-{n}" for n in range(4)]
    assert after["verdict"]["level"] in ("ok", "degraded", "failing")


def test_both_windows_can_be_chosen(default: DefaultClient, applied: str) -> None:
    assert 'aria-current="true">Last hour' in default.admin("/admin").text
    assert 'aria-current="true">Since start' in default.admin("/admin?window=start").text


def test_choosing_a_window_keeps_the_search_and_searching_keeps_the_window(
    default: DefaultClient, applied: str
) -> None:
    page = default.admin(f"/admin?prefix={applied}&window=start").text
    assert f'href="/admin?prefix={applied}#attempts">Last hour' in page
    assert f'href="/admin?prefix={applied}&amp;window=start#attempts" aria-current="true">Since start' in page
    assert '<input type="hidden" name="window" value="start">' in page
    assert 'href="/admin?window=start#counters">All' in page


def test_the_verdict_leads_to_where_one_can_look_into_it(default: DefaultClient, applied: str) -> None:
    default.admin_post("/admin/queues/counter-updates-2/pause")
    try:
        page = default.admin("/admin").text
    finally:
        default.admin_post("/admin/queues/counter-updates-2/resume")
    assert '<a href="#queues">The queue counter-updates-2 is paused' in page


def test_counters_are_searched_by_prefix(default: DefaultClient, applied: str) -> None:
    page = default.admin(f"/admin?prefix={applied}").text
    assert f'href="/admin/counters/{applied}"' in page
    assert "No counter's name begins" in default.admin("/admin?prefix=zzz-nobody").text
    assert "prefix is" in default.admin("/admin?prefix=%3Cb%3E").text
    assert "<b>" not in re.sub(r"<b( [^>]*)?>[^<]*</b>", "", default.admin("/admin?prefix=%3Cb%3E").text)


def test_a_counter_has_a_page_with_its_shards(default: DefaultClient, applied: str) -> None:
    page = default.admin(f"/admin/counters/{applied}").text
    assert f"<h1>{applied}</h1>" in page
    assert "0\N{NARROW NO-BREAK SPACE}%" in page
    assert "<meter" in page
    assert default.admin("/admin/counters/nobody-knows-it").status == 404


def test_counters_come_as_csv(default: DefaultClient, applied: str) -> None:
    answer = default.admin(f"/admin/counters.csv?prefix={applied}")
    assert answer.headers["Content-Type"] == "text/csv; charset=utf-8"
    rows = list(csv.reader(io.StringIO(answer.text)))
    assert rows[0] == ["counter", "value", "increments", "tasks_applied", "tasks_retried", "last_applied_at"]
    assert rows[1][:5] == [applied, "6", "3", "3", "0"]


def test_metrics_are_prometheus_text(default: DefaultClient, applied: str) -> None:
    answer = default.admin("/admin/metrics")
    assert answer.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
    line = re.compile(
        r'(# (HELP|TYPE) [a-z_]+ .+|[a-z_]+(\{[a-z_]+="[^"]*"(,[a-z_]+="[^"]*")*\})? -?[0-9.e+-]+|)'
    )
    for text in answer.text.split("\n"):
        assert line.fullmatch(text), text
    found = re.search(r'pushtasks_applied_total\{handler="update-counter"\} (\d+)', answer.text)
    assert found
    assert int(found.group(1)) >= 3
    assert 'pushtasks_up{source="datastore"} 1' in answer.text
    assert 'pushtasks_queue_running{queue="counter-updates-3"} 1' in answer.text
    assert 'pushtasks_latency_seconds_bucket{handler="update-counter",le="+Inf"}' in answer.text


def test_without_datastore_the_dashboard_says_what_it_can_not_show(
    environ: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATASTORE_EMULATOR_HOST", "127.0.0.1:1")
    default = DefaultClient(environ)
    answer = default.admin("/admin")
    assert answer.status == 200
    assert "Datastore does not answer: nothing can be applied or shown." in answer.text
    assert "The counters can't be read" in answer.text
    assert "counter-updates-0" in answer.text
    cards = re.findall(r'class="figure number">([^<]*)<', answer.text)
    assert [cards[0], *cards[4:]] == ["–"] * 5
    figures = default.admin("/admin/statistics.json").json
    unread = ("total", "last_hour", "handlers", "minutes", "kept", "actions")
    assert [figures[name] for name in unread] == [None] * len(unread)
    assert figures["panels"] == {"counters": None}
    assert 'pushtasks_up{source="datastore"} 0' in default.admin("/admin/metrics").text


def _silent_datastore(asked: list[bytes]) -> grpc.GenericRpcHandler[bytes, bytes]:
    """A Datastore that is there, and has no answer to anything."""

    def say_nothing(request: bytes, context: grpc.ServicerContext) -> bytes:
        asked.append(request)
        context.abort(grpc.StatusCode.DEADLINE_EXCEEDED, "nothing came")
        return b""

    methods = dict.fromkeys(
        ("Lookup", "RunQuery", "RunAggregationQuery"), grpc.unary_unary_rpc_method_handler(say_nothing)
    )
    return grpc.method_handlers_generic_handler("google.datastore.v1.Datastore", methods)


def test_a_silent_datastore_is_waited_for_once_not_for_every_list(
    environ: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[bytes] = []
    server = grpc.server(ThreadPoolExecutor(max_workers=2), handlers=[_silent_datastore(asked)])
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    monkeypatch.setenv("DATASTORE_EMULATOR_HOST", f"127.0.0.1:{port}")
    try:
        page = DefaultClient(environ).admin("/admin").text
    finally:
        server.stop(None).wait()
    assert "Datastore does not answer" in page
    assert len(asked) == 1, asked


def test_without_cloud_tasks_the_dashboard_shows_the_counters(
    environ: dict[str, str], database: Database, applied: str
) -> None:
    default = DefaultClient({**environ, "CLOUD_TASKS_EMULATOR_HOST": "127.0.0.1:1"})
    answer = default.admin(f"/admin?prefix={applied}")
    assert answer.status == 200
    assert "Cloud Tasks does not answer" in answer.text
    assert f'href="/admin/counters/{applied}"' in answer.text
    assert default.admin("/admin/retrying").status == 200


def test_a_hostile_entry_in_the_trail_is_shown_as_text(default: DefaultClient, database: Database) -> None:
    with database.context():
        hostile = "<script>alert(1)</script>"
        entry = admin_actions.record(database, utc_now(), hostile, hostile, hostile, 1, hostile)
    page = default.admin(f"/admin?did={entry}").text
    assert "<script>alert" not in page
    assert "&lt;script&gt;alert(1)" in page
    assert default.admin("/admin?did=nobody").status == 200


def test_the_trail_shows_the_last_20_newest_first(default: DefaultClient, database: Database) -> None:
    with database.context():
        for number in range(25):
            admin_actions.record(database, utc_now(), "ada", "count", f"to {number:02d}", 1, "done")
        latest = admin_actions.latest(database)
    assert [each.target for each in latest] == [f"to {number:02d}" for number in range(24, 4, -1)]
    page = default.admin("/admin").text
    assert "to 24" in page
    assert "to 04" not in page


def test_a_task_between_retries_is_listed_run_and_deleted(
    default: DefaultClient, failing_task: tuple[str, str]
) -> None:
    queue, task = failing_task
    listed = default.admin("/admin/retrying").text
    assert task in listed
    assert ">404<" in listed
    run = default.admin_post(f"/admin/retrying/{queue}/{task}/run", back="/admin/retrying")
    assert run.status == 303
    assert run.headers["Location"].startswith("/admin/retrying?did=")
    assert "<b>Run now</b>" in default.admin(run.headers["Location"].partition("#")[0]).text
    question = default.admin(f"/admin/retrying/{queue}/{task}/delete").text
    assert "Delete this task?" in question
    assert "&lt;hostile&gt;" in question
    deleted = default.admin_post(f"/admin/retrying/{queue}/{task}/delete", back="/admin")
    assert "deleted; kept" in default.admin(deleted.headers["Location"].partition("#")[0]).text
    kept = default.admin("/admin/kept").text
    assert task in kept
    assert "&lt;hostile&gt;" in kept
    assert default.get(f"/api/tasks/{task}").status == 404  # of another handler than update-counter
    gone = default.admin(f"/admin/retrying/{queue}/{task}/delete").text
    assert "It is not in" in gone
    again = default.admin_post(f"/admin/retrying/{queue}/{task}/delete", back="/admin")
    assert "not there any more" in default.admin(again.headers["Location"].partition("#")[0]).text
    run_again = default.admin_post(f"/admin/retrying/{queue}/{task}/run", back="/admin")
    assert "not there any more" in default.admin(run_again.headers["Location"].partition("#")[0]).text
    assert default.admin_post(f"/admin/retrying/nowhere/{task}/run").status == 404


def test_a_queue_is_paused_resumed_and_purged(default: DefaultClient) -> None:
    queue = "counter-updates-3"

    def state() -> dict[str, Any]:
        queues: list[dict[str, Any]] = default.admin("/admin/statistics.json").json["queues"]
        return {each["name"]: each for each in queues}[queue]

    paused = default.admin_post(f"/admin/queues/{queue}/pause", back="/admin?window=start&did=old")
    assert re.fullmatch(r"/admin\?window=start&did=[0-9a-f-]+#did", paused.headers["Location"])
    try:
        assert state()["state"] == "paused"
        overview = default.admin("/admin").text
        assert f"The queue {queue} is paused" in overview
        assert "1 of 4 queues paused" in overview
        for _ in range(40):
            default.post_json("/api/counters/purged/increments", {"amount": 1})
        waiting = state()["waiting"]
        assert waiting > 0
        question = default.admin(f"/admin/queues/{queue}/purge").text
        assert "Purged tasks are gone" in question
        wrong = default.admin_post(f"/admin/queues/{queue}/purge", typed="counter-updates", back="/admin")
        assert wrong.status == 400
        assert "is not the queue's name; nothing was purged" in wrong.text
        assert state()["waiting"] == waiting
        purged = default.admin_post(f"/admin/queues/{queue}/purge", typed=queue, back="/admin")
        assert purged.status == 303
        wait_until(lambda: state()["waiting"] == 0, "the queue to be purged")
    finally:
        default.admin_post(f"/admin/queues/{queue}/resume", back="/admin")
    assert state()["state"] == "running"
    assert default.admin_post("/admin/queues/nowhere/pause").status == 404
    actions = default.admin("/admin/statistics.json").json["actions"]
    assert [each["action"] for each in actions[:3]] == ["resume", "purge", "pause"]
    assert {each["who"] for each in actions[:3]} == {"ada@example.com"}


@pytest.mark.parametrize("back", ["https://elsewhere.example/", "//elsewhere.example", "/admin\\..", "/x"])
def test_a_change_leads_back_to_our_own_pages_only(default: DefaultClient, back: str) -> None:
    answer = default.admin_post("/admin/queues/counter-updates-0/resume", back=back)
    assert answer.headers["Location"].startswith("/admin?did=")


def test_tasks_that_gave_up_are_counted_and_told(
    default: DefaultClient, database: Database, name: str
) -> None:
    kind = f"kind-{name}"

    def happen(lookup: Lookup) -> tuple[UnitOfWork, None]:
        unit = UnitOfWork(lookup, 0, utc_now())
        statistics.record(unit, kind, Tally(gave_up=2))
        return unit, None

    with database.context():
        database.unit_of_work(happen)
    try:
        page = default.admin("/admin").text
        figures = default.admin("/admin/statistics.json").json
        metrics = default.admin("/admin/metrics").text
    finally:
        with database.context():
            TaskStatistics.key_of(kind, 0).delete()
    assert f">2 {kind} tasks were given up after too many failures in the last hour.</a>" in page
    [row] = re.findall(rf'<th scope="row">{kind}</th>(.*?)</tr>', page, re.S)
    assert re.findall(r">([^<>\s]+)</td>", row)[-2:] == ["0", "2"]
    assert figures["minutes"][-1]["gave_up"] + figures["minutes"][-2]["gave_up"] == 2
    assert f'pushtasks_gave_up_total{{handler="{kind}"}} 2' in metrics


def test_hostile_counter_names_never_become_markup(default: DefaultClient, database: Database) -> None:
    with database.context():
        # Nobody can enqueue it, but somebody may have written it.
        Counter(id='z"><i>x', shards=1, created_at=utc_now()).put()
        CounterShard(id=shard_id('z"><i>x', 0), value=1, tasks_applied=1).put()
    try:
        for path in ("/admin?cursor=z", "/?cursor=z", "/admin/counters.csv?cursor=z"):
            answer = default.get(path, ADA)
            assert answer.status == 200
            assert "i>x" in answer.text or "i&gt;x" in answer.text, "it is there"
            assert '"><i>x' not in answer.text.replace('""', "")
    finally:
        with database.context():
            ndb.Key(Counter, 'z"><i>x').delete()
