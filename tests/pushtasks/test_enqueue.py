"""Enqueueing through google-cloud-tasks and a real queue: one task for each increment, and honest answers."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from google.api_core.operation import Operation
from google.cloud import tasks_v2
from google.longrunning import operations_pb2
from localcloud.testing import FaultyProxy, TasksProcess

from counters.increment import Increment
from counters.settings import CounterSettings
from counters.tasks import TASKS
from counters.update_counter import UpdateCounter
from pushtasks import creation, names
from pushtasks.applier import Applier
from pushtasks.database import Database
from pushtasks.delivery import DUE_AT_HEADER, ENQUEUED_AT_HEADER, Delivery, Outcome
from pushtasks.enqueue import Enqueued, State, Tasks
from pushtasks.entities import TaskRecord
from pushtasks.errors import BadDeclaration, KeyReused, OutcomeUnknown, QueueRefused, Rejected
from pushtasks.payload import canonical_json
from pushtasks.queues import NewTask, TaskQueues
from pushtasks.slots import Slot
from pushtasks.task import Kinds, Task
from tests.conftest import PROJECT, StandingClock

QUEUE_FILE = Path(__file__).parent.parent.parent / "queue.yaml"
NOBODY = "http://127.0.0.1:1"


@pytest.fixture(scope="module")
def tasks_server() -> Iterator[TasksProcess]:
    """A queue whose tasks stay pending: nobody answers where it delivers to."""
    with TasksProcess(QUEUE_FILE, {"worker": NOBODY}, "--project", PROJECT) as server:
        yield server


def queues_at(address: str, **more: str) -> TaskQueues:
    environ = {
        "GOOGLE_CLOUD_PROJECT": PROJECT,
        "LOCATION_ID": "us-central1",
        "CLOUD_TASKS_EMULATOR_HOST": address,
        **more,
    }
    return TaskQueues(CounterSettings.read(environ))


@pytest.fixture
def queues(proxy: FaultyProxy) -> TaskQueues:
    return queues_at(proxy.tasks_address)


class Counting(Tasks):
    """Enqueues increments."""

    def increment(self, increment: Increment, key: str | None = None) -> Enqueued:
        return self.enqueue(UpdateCounter, increment.payload, key=key)

    def increments(self, increments: Sequence[Increment]) -> list[Enqueued]:
        return self.enqueue_many(UpdateCounter, [each.payload for each in increments])


KINDS = Kinds(TASKS, CounterSettings.read({"GOOGLE_CLOUD_PROJECT": PROJECT}))


@pytest.fixture
def enqueuer(queues: TaskQueues, database: Database, clock: StandingClock) -> Counting:
    return Counting(KINDS, queues, database, clock, sleep=lambda seconds: None)


Pending = Callable[[str], Counter[str]]


@pytest.fixture
def pending(tasks_server: TasksProcess) -> Pending:
    """The pending tasks of a counter, by name, read past the proxy."""
    queues = queues_at(tasks_server.address)

    def pending_of(counter: str) -> Counter[str]:
        found: Counter[str] = Counter()
        for queue in UpdateCounter.queues:
            request = tasks_v2.ListTasksRequest(
                parent=queues.path_of(queue), response_view=tasks_v2.Task.View.FULL
            )
            for task in queues.client.list_tasks(request):
                if json.loads(task.app_engine_http_request.body)["counter"] == counter:
                    found[task.name.rpartition("/")[2]] += 1
        return found

    return pending_of


@pytest.fixture
def record(database: Database, settings: CounterSettings) -> Callable[[str, Increment, bytes], None]:
    """Apply a task as the worker would."""
    slot = Slot(1)
    applier = Applier(UpdateCounter(settings), database, settings, slot)

    def apply(task: str, increment: Increment, body: bytes) -> None:
        [result] = applier.apply([applier.receive(Delivery(name=task, queue="q", body=body))])
        assert result.outcome is Outcome.APPLIED

    return apply


def test_an_increment_becomes_a_task_in_the_queue_that_its_name_picks(
    enqueuer: Counting, queues: TaskQueues, name: str, clock: StandingClock
) -> None:
    answer = enqueuer.increment(Increment(name, 3))

    assert answer.state is State.ENQUEUED
    task = queues.get(answer.task, names.queue_of(answer.task, UpdateCounter.queues))
    assert task is not None
    request = task.app_engine_http_request
    assert (request.relative_uri, request.app_engine_routing.service) == ("/update-counter", "worker")
    assert json.loads(request.body) == {"counter": name, "amount": 3}
    assert float(request.headers[ENQUEUED_AT_HEADER]) == clock.now.timestamp()


def test_two_increments_without_a_key_are_two_tasks(enqueuer: Counting, pending: Pending, name: str) -> None:
    enqueuer.increment(Increment(name, 1))
    enqueuer.increment(Increment(name, 1))

    assert sum(pending(name).values()) == 2


def test_a_key_repeated_is_one_task_and_the_repeat_is_told_so(
    enqueuer: Counting, database: Database, pending: Pending, name: str
) -> None:
    with database.context():
        first = enqueuer.increment(Increment(name, 1), f"key-{name}")
        second = enqueuer.increment(Increment(name, 1), f"key-{name}")

    assert (first.state, second.state) == (State.ENQUEUED, State.DUPLICATE)
    assert pending(name) == {first.task: 1}


def test_a_key_sent_20_times_in_parallel_is_one_task_and_each_caller_is_told_the_truth(
    enqueuer: Counting, database: Database, pending: Pending, name: str
) -> None:
    def send(_: int) -> State:
        with database.context():
            return enqueuer.increment(Increment(name, 1), f"key-{name}").state

    with ThreadPoolExecutor(20) as pool:
        states = Counter(pool.map(send, range(20)))

    assert states == {State.ENQUEUED: 1, State.DUPLICATE: 19}
    assert sum(pending(name).values()) == 1


def test_a_key_with_another_payload_is_refused_while_the_task_is_pending(
    enqueuer: Counting, database: Database, pending: Pending, name: str
) -> None:
    with database.context():
        enqueuer.increment(Increment(name, 1), f"key-{name}")
        with pytest.raises(KeyReused):
            enqueuer.increment(Increment(name, 2), f"key-{name}")

    assert sum(pending(name).values()) == 1


def test_a_key_holds_after_the_task_was_applied(
    enqueuer: Counting,
    database: Database,
    pending: Pending,
    record: Callable[[str, Increment, bytes], None],
    name: str,
) -> None:
    task = names.keyed_name(UpdateCounter.name, f"key-{name}")
    record(task, Increment(name, 1), canonical_json({"counter": name, "amount": 1}))

    with database.context():
        assert enqueuer.increment(Increment(name, 1), f"key-{name}").state is State.DUPLICATE
        with pytest.raises(KeyReused):
            enqueuer.increment(Increment(name, 2), f"key-{name}")

    assert not pending(name), "nothing was enqueued again, although the queue had never known the name"


def test_when_the_answer_is_lost_the_same_name_is_asked_for_again(
    enqueuer: Counting, proxy: FaultyProxy, pending: Pending, name: str
) -> None:
    proxy.set_faults(tasks=[{"method": "CreateTask", "fault": "response_lost", "calls": [1]}])

    answer = enqueuer.increment(Increment(name, 1))

    assert answer.state is State.ENQUEUED
    assert pending(name) == {answer.task: 1}


def test_when_a_keyed_answer_is_lost_it_can_only_be_said_that_it_is_accepted(
    enqueuer: Counting, database: Database, proxy: FaultyProxy, pending: Pending, name: str
) -> None:
    proxy.set_faults(tasks=[{"method": "CreateTask", "fault": "response_lost", "calls": [1]}])

    with database.context():
        answer = enqueuer.increment(Increment(name, 1), f"key-{name}")

    assert answer.state is State.ACCEPTED
    assert pending(name) == {answer.task: 1}


def test_when_a_request_never_arrived_the_repeat_enqueues_it(
    enqueuer: Counting, database: Database, proxy: FaultyProxy, pending: Pending, name: str
) -> None:
    proxy.set_faults(tasks=[{"method": "CreateTask", "fault": "request_lost", "calls": [1, 2]}])

    with database.context():
        answer = enqueuer.increment(Increment(name, 1), f"key-{name}")

    assert answer.state is State.ENQUEUED
    assert pending(name) == {answer.task: 1}


def test_when_no_answer_comes_the_caller_is_told_the_name_to_ask_for(
    enqueuer: Counting, proxy: FaultyProxy, pending: Pending, name: str
) -> None:
    proxy.set_faults(
        tasks=[
            {"method": "CreateTask", "fault": "response_lost", "calls": [1]},
            {"method": "CreateTask", "fault": "request_lost"},
        ]
    )

    answer = enqueuer.increment(Increment(name, 1))

    assert answer.state is State.UNKNOWN
    assert pending(name) == {answer.task: 1}


def test_a_batch_is_enqueued_whole_over_all_queues(
    enqueuer: Counting, pending: Pending, name: str, proxy: FaultyProxy
) -> None:
    before = proxy.report()["tasks"]["calls"].get("BatchCreateTasks", 0)

    answers = enqueuer.increments([Increment(name, 1)] * 500)

    assert Counter(answer.state for answer in answers) == {State.ENQUEUED: 500}
    assert pending(name) == {answer.task: 1 for answer in answers}
    assert proxy.report()["tasks"]["calls"]["BatchCreateTasks"] - before <= 8


def test_where_a_server_has_no_batches_the_tasks_are_created_singly(
    enqueuer: Counting, proxy: FaultyProxy, pending: Pending, name: str
) -> None:
    proxy.set_faults(tasks=[{"method": "BatchCreateTasks", "fault": "request_lost", "code": "UNIMPLEMENTED"}])

    answers = enqueuer.increments([Increment(name, 1)] * 30)

    assert Counter(answer.state for answer in answers) == {State.ENQUEUED: 30}
    assert sum(pending(name).values()) == 30


def test_a_batch_whose_answer_is_lost_is_one_batch(
    enqueuer: Counting, proxy: FaultyProxy, pending: Pending, name: str
) -> None:
    proxy.set_faults(tasks=[{"method": "BatchCreateTasks", "fault": "response_lost", "times": 3}])

    answers = enqueuer.increments([Increment(name, 1)] * 40)

    assert Counter(answer.state for answer in answers) == {State.ENQUEUED: 40}
    assert sum(pending(name).values()) == 40


def test_a_batch_operation_that_broke_is_no_success(
    queues: TaskQueues, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    broken = operations_pb2.Operation(name="batch", done=True, error={"code": 13, "message": "It broke."})
    operation = Operation(  # type: ignore[no-untyped-call]
        broken,
        lambda: broken,
        lambda: None,
        tasks_v2.BatchCreateTasksResponse,
        metadata_type=tasks_v2.BatchCreateTasksMetadata,
    )
    monkeypatch.setattr(queues.client, "batch_create_tasks", lambda *_, **__: operation)

    [answer] = queues.create_batch(
        [NewTask(name, "counter-updates-0", b"{}", "/update-counter", datetime.now(UTC))]
    )

    assert isinstance(answer, OutcomeUnknown)


class _Nowhere(UpdateCounter):
    queues = ("nowhere",)


class _Kept(UpdateCounter):
    name = "kept"
    queues = ("kept",)


class _Dropped(UpdateCounter):
    name = "dropped"
    queues = ("dropped",)


def kinds_of(*declared: type[Task[Any]]) -> Kinds:
    return Kinds(declared, CounterSettings.read({"GOOGLE_CLOUD_PROJECT": PROJECT}))


def test_a_queue_that_does_not_exist_is_named_with_what_to_do(tasks_server: TasksProcess) -> None:
    with pytest.raises(QueueRefused, match="_Nowhere.queues names the queue 'nowhere', which does not exist"):
        queues_at(tasks_server.address).check(kinds_of(_Nowhere))


def test_a_queue_that_queue_yaml_no_longer_names_is_named_too(tmp_path: Path) -> None:
    """It is still there, disabled: it would take tasks, and deliver none."""
    file = tmp_path / "queue.yaml"
    for remaining in ("kept", "dropped"), ("kept",):
        entries = "".join(f"- name: {name}\n  rate: 5/s\n" for name in remaining)
        file.write_text(f"queue:\n{entries}")
        with TasksProcess(file, {}, "--project", PROJECT, folder=tmp_path) as server:
            queues, kinds = queues_at(server.address), kinds_of(_Kept, _Dropped)
            if "dropped" in remaining:
                queues.check(kinds)
            else:
                with pytest.raises(
                    QueueRefused, match="_Dropped.queues names the queue 'dropped', which is disabled"
                ):
                    queues.check(kinds)


def test_a_task_for_a_queue_that_does_not_exist_is_refused(
    tasks_server: TasksProcess, database: Database, name: str
) -> None:
    tasks = Tasks(kinds_of(_Nowhere), queues_at(tasks_server.address), database)

    assert tasks.enqueue(_Nowhere, {}).state is State.REFUSED
    assert tasks.enqueue_many(_Nowhere, [{}, {}])[1].state is State.REFUSED


def test_a_kind_that_is_not_in_the_applications_list_can_not_be_enqueued(enqueuer: Counting) -> None:
    with pytest.raises(BadDeclaration, match="_Kept is not in the application's list of kinds"):
        enqueuer.enqueue(_Kept, {})


def test_a_task_for_later_waits_in_its_queue_until_it_is_due(
    enqueuer: Counting, queues: TaskQueues, name: str, clock: StandingClock
) -> None:
    clock.now = datetime.now(UTC)
    due = clock.now + timedelta(hours=3)
    for answer in (
        enqueuer.enqueue(UpdateCounter, {"counter": name, "amount": 1}, at=due),
        enqueuer.enqueue(UpdateCounter, {"counter": name, "amount": 1}, delay=timedelta(hours=3)),
        enqueuer.enqueue_many(UpdateCounter, [{"counter": name, "amount": 1}], at=due)[0],
    ):
        task = queues.get(answer.task, names.queue_of(answer.task, UpdateCounter.queues))
        assert task is not None
        assert abs(task.schedule_time.timestamp() - due.timestamp()) < 1  # type: ignore[attr-defined]
        assert float(task.app_engine_http_request.headers[DUE_AT_HEADER]) == pytest.approx(due.timestamp())


def test_options_that_can_not_be_honoured_are_refused(enqueuer: Counting, clock: StandingClock) -> None:
    with pytest.raises(ValueError, match="not both"):
        enqueuer.enqueue(UpdateCounter, {}, at=clock.now, delay=timedelta(1))
    with pytest.raises(ValueError, match="no time zone"):
        enqueuer.enqueue(UpdateCounter, {}, at=datetime(2026, 1, 1))
    for payload, expected in ({"a": {1, 2}}, "what JSON can hold"), ("x" * 100_000, "98000 bytes of JSON"):
        with pytest.raises(Rejected, match=expected):
            enqueuer.enqueue(UpdateCounter, payload)


def test_a_key_belongs_to_its_kind_whatever_it_is_about(
    enqueuer: Counting, database: Database, name: str
) -> None:
    with database.context():
        enqueuer.increment(Increment(name, 1), name)
        with pytest.raises(KeyReused):
            enqueuer.increment(Increment(f"{name}-other", 1), name)


def test_the_order_of_a_payloads_members_makes_no_other_payload(
    enqueuer: Counting, database: Database, name: str
) -> None:
    with database.context():
        first = enqueuer.enqueue(UpdateCounter, {"counter": name, "amount": 1}, key=name)
        again = enqueuer.enqueue(UpdateCounter, {"amount": 1, "counter": name}, key=name)

    assert (again.task, again.state, again.outcome) == (first.task, State.DUPLICATE, "pending")


def test_records_are_keyed_by_handler_and_task(database: Database) -> None:
    with database.context():
        keys: set[Any] = {TaskRecord.key_of(handler, "t") for handler in ("a", "b")}
        assert len(keys) == 2


def test_what_was_not_there_a_moment_ago_is_asked_for_again(
    database: Database, record: Callable[[str, Increment, bytes], None], name: str
) -> None:
    with ThreadPoolExecutor(1) as elsewhere, database.context():
        key = TaskRecord.key_of(UpdateCounter.name, name)
        assert database.get([key]) == [None]
        body = json.dumps({"counter": name, "amount": 1}).encode()
        elsewhere.submit(record, name, Increment(name, 1), body).result()

        assert database.get([key])[0].outcome == "applied"


@pytest.fixture
def remove(tasks_server: TasksProcess) -> Callable[[str], None]:
    """Take a task off its queue, as a purge does."""
    queues = queues_at(tasks_server.address)

    def remove_task(task: str) -> None:
        queues.client.delete_task(name=queues.path_of(names.queue_of(task, UpdateCounter.queues), task))

    return remove_task


Remove = Callable[[str], None]


def test_a_key_whose_task_was_removed_is_no_duplicate(
    enqueuer: Counting, database: Database, pending: Pending, remove: Remove, name: str
) -> None:
    with database.context():
        first = enqueuer.increment(Increment(name, 1), f"key-{name}")
        remove(first.task)
        second = enqueuer.increment(Increment(name, 1), f"key-{name}")

    assert (second.task, second.state) == (first.task, State.REMOVED)
    assert not pending(name)


def test_a_task_that_was_removed_before_its_lost_answer_was_asked_for_is_not_accepted(
    enqueuer: Counting, database: Database, proxy: FaultyProxy, remove: Remove, name: str
) -> None:
    with database.context():
        remove(enqueuer.increment(Increment(name, 1), f"key-{name}").task)
        proxy.set_faults(tasks=[{"method": "CreateTask", "fault": "response_lost", "calls": [1]}])
        assert enqueuer.increment(Increment(name, 1), f"key-{name}").state is State.REMOVED


def test_a_task_that_is_delivered_between_two_looks_is_a_duplicate(
    queues: TaskQueues,
    database: Database,
    clock: StandingClock,
    record: Callable[[str, Increment, bytes], None],
    remove: Remove,
    name: str,
) -> None:
    """It has no record yet when that is looked for, and has left its queue when that is asked."""
    body = canonical_json({"counter": name, "amount": 1})

    class DeliveredMeanwhile(TaskQueues):
        def get(self, task: str, queue: str) -> tasks_v2.Task | None:
            with ThreadPoolExecutor(1) as worker:
                worker.submit(record, task, Increment(name, 1), body).result()
            remove(task)
            return super().get(task, queue)

    enqueuer = Counting(KINDS, DeliveredMeanwhile(queues._settings), database, clock)
    with database.context():
        enqueuer.increment(Increment(name, 1), f"key-{name}")
        assert enqueuer.increment(Increment(name, 1), f"key-{name}").state is State.DUPLICATE


class _OneQueue(UpdateCounter):
    queues = ("counter-updates-0",)


def test_a_refusal_after_a_lost_answer_is_not_told_as_refused(
    queues: TaskQueues, database: Database, proxy: FaultyProxy, pending: Pending, name: str
) -> None:
    """The task of the lost answer is there, and will be applied."""
    # Of one queue, so that a batch is one call.
    tasks = Tasks(kinds_of(_OneQueue), queues, database, sleep=lambda seconds: None)
    payload = Increment(name, 1).payload
    for method, count in (("CreateTask", 1), ("BatchCreateTasks", 3)):
        proxy.set_faults(
            tasks=[
                {"method": method, "fault": "response_lost", "times": 1},
                {"method": "*", "fault": "request_lost", "code": "UNIMPLEMENTED"},
            ]
        )
        answers = tasks.enqueue_many(_OneQueue, [payload] * count)
        assert {answer.state for answer in answers} == {State.UNKNOWN}
        proxy.clear_faults()
    assert sum(pending(name).values()) == 4


def test_after_a_long_silence_nobody_is_kept_waiting_for_another(
    enqueuer: Counting, proxy: FaultyProxy, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr(creation, "_PATIENCE_S", 0.05)
    before = proxy.report()["tasks"]["calls"].get("CreateTask", 0)
    proxy.set_faults(tasks=[{"method": "CreateTask", "fault": "request_lost", "delay_seconds": 0.1}])
    assert enqueuer.increment(Increment(name, 1)).state is State.UNKNOWN
    assert proxy.report()["tasks"]["calls"]["CreateTask"] == before + 1


def test_without_a_known_region_every_task_of_a_batch_is_refused(
    database: Database, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GCE_METADATA_HOST", "127.0.0.1:1")
    settings = CounterSettings.read({"GOOGLE_CLOUD_PROJECT": PROJECT})
    tasks = Tasks(kinds_of(_OneQueue), TaskQueues(settings), database)

    answers = tasks.enqueue_many(_OneQueue, [Increment(name, 1).payload] * 3)

    assert [answer.state for answer in answers] == [State.REFUSED] * 3
