"""Kept tasks enqueued again or discarded, and pending tasks deleted, whatever comes in between."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from google.cloud import ndb, tasks_v2
from localcloud.testing import FaultyProxy, TasksProcess

from counters.settings import CounterSettings
from counters.tasks import TASKS
from counters.update_counter import UpdateCounter
from pushtasks import deletion, kept_tasks, names, records
from pushtasks.applier import Applier
from pushtasks.database import Database
from pushtasks.delivery import ENQUEUED_AT_HEADER, Clock, Delivery, Outcome, handler_of, utc_now
from pushtasks.entities import DELETED, KEPT, RE_ENQUEUED, RE_ENQUEUEING, REJECTED, KeptTask, TaskRecord
from pushtasks.errors import QueueRefused, Rejected
from pushtasks.queue_control import QueueControl
from pushtasks.queues import NewTask, TaskQueues
from pushtasks.re_enqueue import Done, Edit, KeptTaskActions, parse_edit
from pushtasks.retry_actions import GONE, TRIED, RetryActions
from pushtasks.slots import Slot
from pushtasks.task import Kinds
from tests.conftest import PROJECT, StandingClock

QUEUE_FILE = Path(__file__).parents[2] / "queue.yaml"
LIFE = timedelta(days=90)

LOST: list[dict[str, object]] = [
    {"method": "CreateTask", "fault": "response_lost", "calls": [1]},
    {"method": "CreateTask", "fault": "request_lost"},
]
"""The task is created, and nobody is ever told."""


@pytest.fixture(scope="module")
def tasks_server() -> Iterator[TasksProcess]:
    """A Cloud Tasks whose worker is away."""
    away = {"worker": "http://127.0.0.1:1"}
    with TasksProcess(QUEUE_FILE, away, "--project", PROJECT, "--location", "us-central1") as tasks:
        yield tasks


@pytest.fixture
def queue_settings(tasks_server: TasksProcess) -> Iterator[CounterSettings]:
    """Settings that lead to it."""
    with tasks_server.for_one_test() as tasks:
        yield CounterSettings.read(
            {
                "GOOGLE_CLOUD_PROJECT": PROJECT,
                "LOCATION_ID": "us-central1",
                "CLOUD_TASKS_EMULATOR_HOST": tasks.address,
            }
        )


@pytest.fixture
def queues(queue_settings: CounterSettings) -> TaskQueues:
    return TaskQueues(queue_settings)


@pytest.fixture
def control(queues: TaskQueues, queue_settings: CounterSettings) -> QueueControl:
    return QueueControl(queues, UpdateCounter.queues, queue_settings)


@pytest.fixture
def unreachable() -> TaskQueues:
    return TaskQueues(
        CounterSettings.read(
            {
                "GOOGLE_CLOUD_PROJECT": PROJECT,
                "LOCATION_ID": "us-central1",
                "CLOUD_TASKS_EMULATOR_HOST": "127.0.0.1:1",
            }
        )
    )


@pytest.fixture
def kept(database: Database, clock: StandingClock) -> Iterator[str]:
    """The id of a kept task."""
    task_id = f"{secrets.token_hex(16)}@update-counter"
    with database.context():
        KeptTask(
            id=task_id,
            handler="update-counter",
            outcome=REJECTED,
            state=KEPT,
            reason="a reason",
            detail="A detail.",
            queue="counter-updates-0",
            path="/update-counter",
            headers={"content-type": "application/json"},
            payload=b"{}",
            kept_at=clock(),
        ).put()
        yield task_id


def actions(database: Database, queues: TaskQueues, clock: Clock = utc_now) -> KeptTaskActions:
    kinds = Kinds(TASKS, CounterSettings.read({"GOOGLE_CLOUD_PROJECT": PROJECT}))
    return KeptTaskActions(database, queues, kinds, clock)


def _state(task_id: str) -> str:
    return str(ndb.Key(KeptTask, task_id).get(use_cache=False).state)


def test_what_the_queue_did_not_answer_stays_open_and_repeating_it_finishes_it(
    database: Database, queues: TaskQueues, unreachable: TaskQueues, kept: str
) -> None:
    edit = Edit("/update-counter", b'{"counter": "a", "amount": 1}')
    settled = actions(database, unreachable).enqueue_again([kept], edit)
    assert settled.counts == {Done.UNSETTLED: 1}
    assert settled.changed == 0
    assert _state(kept) == RE_ENQUEUEING
    settled = actions(database, queues).enqueue_again([kept], Edit("/update-counter", b"other"))
    assert settled.sentence == "1 enqueued again as it was first edited, not as now"
    assert _state(kept) == RE_ENQUEUED
    name = kept.replace("@update-counter", "-r1")
    pending = [queues.get(name, queue) for queue in UpdateCounter.queues]
    [task] = [each for each in pending if each is not None]
    assert task.app_engine_http_request.body == edit.payload
    assert actions(database, queues).enqueue_again([kept]).sentence == "1 already enqueued again"


def test_a_repeat_carries_the_time_of_the_first_try(
    database: Database, queues: TaskQueues, unreachable: TaskQueues, kept: str, clock: StandingClock
) -> None:
    first_s = clock().timestamp()
    actions(database, unreachable, clock).enqueue_again([kept])
    clock.advance(days=95)
    actions(database, queues, clock).enqueue_again([kept])
    name = kept.replace("@update-counter", "-r1")
    [task] = [found for queue in UpdateCounter.queues if (found := queues.get(name, queue)) is not None]
    assert float(task.app_engine_http_request.headers[ENQUEUED_AT_HEADER]) == first_s


def test_a_crash_after_the_task_was_created_is_repaired_by_repeating(
    database: Database, queues: TaskQueues, kept: str
) -> None:
    actions(database, queues).enqueue_again([kept])
    entity = ndb.Key(KeptTask, kept).get()
    entity.state = RE_ENQUEUEING  # as if the process had died before its last step
    entity.put()
    assert actions(database, queues).enqueue_again([kept]).counts == {Done.ENQUEUED: 1}
    assert _state(kept) == RE_ENQUEUED


def test_a_queue_that_is_gone_is_told_with_its_reason(
    database: Database, queues: TaskQueues, kept: str
) -> None:
    entity = ndb.Key(KeptTask, kept).get()
    entity.queue = "nowhere"
    entity.put()
    settled = actions(database, queues).enqueue_again([kept])
    assert settled.counts == {Done.REFUSED: 1}
    assert settled.sentence.startswith("1 refused by the queue (")
    assert _state(kept) == KEPT


def test_what_the_queue_refuses_can_be_edited_otherwise_and_enqueued(
    database: Database, queues: TaskQueues, kept: str
) -> None:
    not_a_url = Edit("/update-counter?\u00e4", b"counter=a")
    assert actions(database, queues).enqueue_again([kept], not_a_url).counts == {Done.REFUSED: 1}

    better = Edit("/update-counter", b"counter=a&amount=1")
    assert actions(database, queues).enqueue_again([kept], better).counts == {Done.ENQUEUED: 1}
    assert _state(kept) == RE_ENQUEUED


def test_a_task_run_by_hand_gets_a_name_that_nobody_can_take_by_hand(
    database: Database, queues: TaskQueues, kept: str
) -> None:
    entity = ndb.Key(KeptTask, kept).get()
    by_hand = KeptTask(key=ndb.Key(KeptTask, f"by-hand-{kept}"), **entity.to_dict())
    by_hand.put()

    actions(database, queues).enqueue_again([by_hand.key.id()])

    replacement = by_hand.key.get(use_cache=False).replacement
    assert not replacement.startswith("by-hand-")
    assert "by-hand" not in replacement


def test_many_are_settled_in_groups(
    database: Database, queues: TaskQueues, kept: str, clock: StandingClock
) -> None:
    first = ndb.Key(KeptTask, kept).get()
    ids = [f"{secrets.token_hex(16)}@update-counter" for _ in range(60)]
    values = {name: getattr(first, name) for name in first.to_dict()}
    ndb.put_multi([KeptTask(id=task_id, **values) for task_id in ids])
    assert actions(database, queues, clock).enqueue_again(ids).counts == {Done.ENQUEUED: 60}
    assert {_state(task_id) for task_id in ids} == {RE_ENQUEUED}
    assert actions(database, queues, clock).discard([*ids, kept, "nobody@x"]).counts == {
        Done.ALREADY_ENQUEUED: 60,
        Done.DISCARDED: 1,
        Done.MISSING: 1,
    }


def test_a_name_as_long_as_names_may_be_gets_a_derived_one_that_still_fits(
    database: Database, queues: TaskQueues, kept: str
) -> None:
    first = ndb.Key(KeptTask, kept).get()
    task_id = f"{secrets.token_hex(250)}@update-counter"
    KeptTask(id=task_id, **{name: getattr(first, name) for name in first.to_dict()}).put()
    assert actions(database, queues).enqueue_again([task_id]).changed == 1
    assert len(ndb.Key(KeptTask, task_id).get(use_cache=False).replacement) <= 500


@pytest.mark.parametrize(
    ("path", "text", "edit"),
    [
        ("/p?a=1", "kept", None),
        ("/p?a=2", "kept", Edit("/p?a=2", b"kept")),
        ("/p", "kept", Edit("/p", b"kept")),
        ("/p?a=1", "new", Edit("/p?a=1", b"new")),
    ],
)
def test_an_edit_is_what_differs(path: str, text: str, edit: Edit | None) -> None:
    assert parse_edit(path, text, "/p?a=1", b"kept") == edit


@pytest.mark.parametrize("path", ["/q", "//p", "/p?\n", "/p?a b", "/p?" + "a" * 2000, "/p?\xe4"])
def test_a_path_that_can_not_be_sent_is_no_edit(path: str) -> None:
    with pytest.raises(Rejected, match="path"):
        parse_edit(path, "kept", "/p", b"kept")


def _enqueue(queues: TaskQueues, clock: StandingClock) -> str:
    name = secrets.token_hex(16)
    body = b'{"counter": "deleted", "amount": 1}'
    queues.create(NewTask(name, "counter-updates-2", body, "/update-counter", clock()))
    return name


def _delete(database: Database, control: QueueControl, name: str, clock: StandingClock) -> tuple[int, str]:
    return deletion.delete_pending(
        database, control, "counter-updates-2", name, who="ada", now=clock(), record_life=LIFE
    )


def _apply(database: Database, settings: CounterSettings, name: str, clock: StandingClock) -> Outcome:
    slot = Slot(settings.slots)
    applier = Applier(UpdateCounter(settings), database, settings, slot, clock=clock)
    body = b'{"counter": "deleted", "amount": 1}'
    task = Delivery(name, "counter-updates-2", content_type="application/json", body=body)
    return applier.apply([applier.receive(task)])[0].outcome


def test_a_deleted_task_is_kept_and_can_never_be_applied(
    database: Database,
    queues: TaskQueues,
    control: QueueControl,
    settings: CounterSettings,
    clock: StandingClock,
) -> None:
    name = _enqueue(queues, clock)
    with database.context():
        assert _delete(database, control, name, clock) == (1, "deleted; kept among the rejected tasks")
        assert queues.get(name, "counter-updates-2") is None
        found = kept_tasks.find(database, f"{name}@update-counter")
        assert found is not None
        assert (found.outcome, found.reason, found.text) == (
            DELETED,
            deletion.REASON,
            '{"counter": "deleted", "amount": 1}',
        )
        assert _delete(database, control, name, clock)[0] == 0
    assert _apply(database, settings, name, clock) is Outcome.DUPLICATE


def test_a_task_that_was_applied_meanwhile_is_not_deleted(
    database: Database,
    queues: TaskQueues,
    control: QueueControl,
    settings: CounterSettings,
    clock: StandingClock,
) -> None:
    name = _enqueue(queues, clock)
    assert _apply(database, settings, name, clock) is Outcome.APPLIED
    with database.context():
        assert _delete(database, control, name, clock) == (0, "applied by then, so nothing was deleted")
        assert kept_tasks.find(database, f"{name}@update-counter") is None
        assert TaskRecord.key_of("update-counter", name).get().outcome == "applied"
    assert queues.get(name, "counter-updates-2") is not None


def test_a_deletion_that_was_cut_short_is_finished_by_the_next(
    database: Database, queues: TaskQueues, control: QueueControl, clock: StandingClock
) -> None:
    name = _enqueue(queues, clock)
    with database.context():
        TaskRecord(key=TaskRecord.key_of("update-counter", name), outcome=DELETED).put()
        assert _delete(database, control, name, clock)[0] == 1
    assert queues.get(name, "counter-updates-2") is None


def test_the_handler_of_a_path_is_its_name_without_slash_or_query() -> None:
    assert handler_of("/update-counter?counter=a") == "update-counter"
    assert handler_of("/update%2Dcounter") == "update-counter"


@pytest.fixture
def proxy(queue_settings: CounterSettings) -> Iterator[FaultyProxy]:
    with FaultyProxy(tasks=queue_settings.tasks_emulator) as proxy:
        yield proxy


def _replacement(queues: TaskQueues, kept: str) -> tasks_v2.Task | None:
    name = kept.replace("@update-counter", "-r1")
    return queues.get(name, names.queue_of(name, UpdateCounter.queues))


def test_what_is_refused_after_an_answer_was_lost_can_not_be_discarded(
    database: Database, queues: TaskQueues, queue_settings: CounterSettings, proxy: FaultyProxy, kept: str
) -> None:
    """The task of the lost answer is there, and will be applied."""
    through_proxy = TaskQueues(replace(queue_settings, tasks_emulator=proxy.tasks_address))
    again = actions(database, through_proxy)
    proxy.set_faults(tasks=LOST)
    assert again.enqueue_again([kept]).counts == {Done.UNSETTLED: 1}
    proxy.set_faults(tasks=[{"method": "CreateTask", "fault": "request_lost", "code": "UNIMPLEMENTED"}])
    assert again.enqueue_again([kept]).counts == {Done.PERHAPS_BEFORE: 1}

    assert _state(kept) == RE_ENQUEUEING
    assert again.discard([kept]).changed == 0
    assert _replacement(queues, kept) is not None

    proxy.clear_faults()
    assert again.enqueue_again([kept]).counts == {Done.ENQUEUED: 1}
    assert _state(kept) == RE_ENQUEUED


def test_what_is_refused_at_first_can_be_discarded(
    database: Database, queue_settings: CounterSettings, proxy: FaultyProxy, kept: str
) -> None:
    again = actions(database, TaskQueues(replace(queue_settings, tasks_emulator=proxy.tasks_address)))
    proxy.set_faults(tasks=[{"method": "CreateTask", "fault": "request_lost", "code": "UNIMPLEMENTED"}])
    for _ in range(2):
        assert again.enqueue_again([kept]).counts == {Done.REFUSED: 1}
        assert _state(kept) == KEPT
    assert again.discard([kept]).counts == {Done.DISCARDED: 1}


def test_a_refusal_gives_nothing_back_that_somebody_else_has_tried_meanwhile(
    database: Database, queues: TaskQueues, queue_settings: CounterSettings, proxy: FaultyProxy, kept: str
) -> None:
    """Two clicks: the first is refused, the second gets no answer, and its task is there."""

    class SecondClickMeanwhile(TaskQueues):
        def create(self, task: NewTask) -> None:
            with ThreadPoolExecutor(1) as elsewhere:
                elsewhere.submit(click).result()
            raise QueueRefused("Not now.")

    def click() -> None:
        through_proxy = TaskQueues(replace(queue_settings, tasks_emulator=proxy.tasks_address))
        with database.context():
            assert actions(database, through_proxy).enqueue_again([kept]).counts == {Done.UNSETTLED: 1}

    proxy.set_faults(tasks=LOST)
    actions(database, SecondClickMeanwhile(queue_settings)).enqueue_again([kept])

    assert _state(kept) == RE_ENQUEUEING
    assert _replacement(queues, kept) is not None


def test_a_replacement_that_was_removed_from_its_queue_is_not_told_as_enqueued(
    database: Database, queues: TaskQueues, kept: str
) -> None:
    actions(database, queues).enqueue_again([kept])
    entity = ndb.Key(KeptTask, kept).get()
    entity.state = RE_ENQUEUEING  # as if the process had died before its last step
    entity.put()
    task = _replacement(queues, kept)
    assert task is not None
    queues.client.delete_task(name=task.name)

    assert actions(database, queues).enqueue_again([kept]).counts == {Done.REMOVED: 1}
    assert _state(kept) == RE_ENQUEUEING


def test_many_are_run_or_deleted_at_once_and_what_is_gone_is_told(
    database: Database, queue_settings: CounterSettings, clock: StandingClock
) -> None:
    queues = TaskQueues(queue_settings)
    control = QueueControl(queues, UpdateCounter.queues, queue_settings)
    actions = RetryActions(database, control, LIFE, clock)
    tasks = [(UpdateCounter.queues[number % 4], secrets.token_hex(16)) for number in range(12)]
    for queue, name in tasks:
        queues.create(NewTask(name, queue, b"counter=a&amount=1", "/update-counter", clock.now))
    gone = (UpdateCounter.queues[0], secrets.token_hex(16))

    ran = actions.run([*tasks, gone, *tasks])
    deleted = actions.delete([*tasks, gone], who="ada@example.com")

    assert (ran.changed, ran.counts[TRIED], ran.counts[GONE]) == (12, 12, 1)
    assert (deleted.changed, deleted.counts[GONE]) == (12, 1)
    assert all(control.get(*task) is None for task in tasks)
    with database.context():
        records = database.get(TaskRecord.key_of("update-counter", name) for _, name in tasks)
    assert {record.outcome for record in records} == {DELETED}
    with pytest.raises(Rejected, match="at most 1000"):
        actions.run([(queue, str(number)) for number in range(1001) for queue in ("q",)])


def test_a_task_goes_again_to_its_kinds_own_service(
    database: Database, queues: TaskQueues, kept: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(UpdateCounter, "service", "mailer")

    actions(database, queues).enqueue_again([kept])

    name = kept.replace("@update-counter", "-r1")
    [task] = [found for queue in UpdateCounter.queues if (found := queues.get(name, queue))]
    assert task.app_engine_http_request.app_engine_routing.service == "mailer"


def test_a_rejected_task_is_kept_with_its_content_type(database: Database) -> None:
    delivery = Delivery(name="a", queue="q", content_type="text/plain; charset=latin1", body=b"\xe4")

    with database.context():
        kept = records.kept_of("t", delivery, REJECTED, utc_now(), reason="a reason", detail="A detail.")

    assert kept_tasks.content_type_of(kept.headers) == "text/plain; charset=latin1"
