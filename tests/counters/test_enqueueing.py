"""Enqueueing through google-cloud-tasks and a real queue: one task for each increment, and honest answers."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from google.api_core.operation import Operation
from google.cloud import tasks_v2
from google.longrunning import operations_pb2

from counters import naming
from counters.applying import Applier
from counters.database import Database
from counters.enqueueing import Enqueuer, KeyReused, State
from counters.increments import Increment
from counters.models import TaskRecord
from counters.queues import NewTask, OutcomeUnknown, QueueRefused, TaskQueues
from counters.settings import Settings
from counters.slots import Slot
from counters.tasks import ENQUEUED_AT_HEADER, Outcome, TaskInfo
from counters.updating import HANDLER, CounterUpdates, Registry
from localcloud.testing import FaultyProxy, TasksProcess
from tests.conftest import PROJECT, StandingClock

QUEUE_FILE = Path(__file__).parent.parent.parent / "queue.yaml"
NOBODY = "http://127.0.0.1:1"


@pytest.fixture(scope="module")
def tasks_server() -> Iterator[TasksProcess]:
    """A queue whose tasks stay pending: nobody answers where it delivers to."""
    with TasksProcess(QUEUE_FILE, {"worker": NOBODY}, "--project", PROJECT) as server:
        yield server


@pytest.fixture(scope="module")
def shared_proxy(tasks_server: TasksProcess) -> Iterator[FaultyProxy]:
    with FaultyProxy(tasks=tasks_server.address) as proxy:
        yield proxy


@pytest.fixture
def proxy(shared_proxy: FaultyProxy, tasks_server: TasksProcess) -> Iterator[FaultyProxy]:
    with tasks_server.for_one_test():
        yield shared_proxy
        shared_proxy.clear_faults()


def queues_at(address: str, **more: str) -> TaskQueues:
    environ = {
        "GOOGLE_CLOUD_PROJECT": PROJECT,
        "LOCATION_ID": "us-central1",
        "CLOUD_TASKS_EMULATOR_HOST": address,
        **more,
    }
    return TaskQueues(Settings.read(environ))


@pytest.fixture
def queues(proxy: FaultyProxy) -> TaskQueues:
    return queues_at(proxy.tasks_address)


@pytest.fixture
def enqueuer(queues: TaskQueues, database: Database, clock: StandingClock) -> Enqueuer:
    return Enqueuer(queues, database, clock, sleep=lambda seconds: None)


Pending = Callable[[str], Counter[str]]


@pytest.fixture
def pending(tasks_server: TasksProcess) -> Pending:
    """The pending tasks of a counter, by name, read past the proxy."""
    queues = queues_at(tasks_server.address)

    def pending_of(counter: str) -> Counter[str]:
        found: Counter[str] = Counter()
        for queue in queues.names:
            request = tasks_v2.ListTasksRequest(
                parent=queues.path_of(queue), response_view=tasks_v2.Task.View.FULL
            )
            for task in queues.client.list_tasks(request):
                if json.loads(task.app_engine_http_request.body)["counter"] == counter:
                    found[task.name.rpartition("/")[2]] += 1
        return found

    return pending_of


@pytest.fixture
def record(database: Database, settings: Settings) -> Callable[[str, Increment, bytes], None]:
    """Apply a task as the worker would."""
    slot = Slot(1)
    applier = Applier(CounterUpdates(Registry(database, 4), slot), database, settings, slot)

    def apply(task: str, increment: Increment, body: bytes) -> None:
        assert applier.apply([applier.receive(TaskInfo(name=task, queue="q", body=body))]) == [
            Outcome.APPLIED
        ]

    return apply


def test_an_increment_becomes_a_task_in_the_queue_that_its_name_picks(
    enqueuer: Enqueuer, queues: TaskQueues, name: str, clock: StandingClock
) -> None:
    answer = enqueuer.increment(Increment(name, 3))

    assert answer.state is State.ENQUEUED
    task = queues.get(answer.task, naming.queue_of(answer.task, queues.names))
    assert task is not None
    request = task.app_engine_http_request
    assert (request.relative_uri, request.app_engine_routing.service) == ("/update-counter", "worker")
    assert json.loads(request.body) == {"counter": name, "amount": 3}
    assert float(request.headers[ENQUEUED_AT_HEADER]) == clock.now.timestamp()


def test_two_increments_without_a_key_are_two_tasks(enqueuer: Enqueuer, pending: Pending, name: str) -> None:
    enqueuer.increment(Increment(name, 1))
    enqueuer.increment(Increment(name, 1))

    assert sum(pending(name).values()) == 2


def test_a_key_repeated_is_one_task_and_the_repeat_is_told_so(
    enqueuer: Enqueuer, database: Database, pending: Pending, name: str
) -> None:
    with database.context():
        first = enqueuer.increment(Increment(name, 1), "key")
        second = enqueuer.increment(Increment(name, 1), "key")

    assert (first.state, second.state) == (State.ENQUEUED, State.DUPLICATE)
    assert pending(name) == {first.task: 1}


def test_a_key_sent_20_times_in_parallel_is_one_task_and_each_caller_is_told_the_truth(
    enqueuer: Enqueuer, database: Database, pending: Pending, name: str
) -> None:
    def send(_: int) -> State:
        with database.context():
            return enqueuer.increment(Increment(name, 1), "key").state

    with ThreadPoolExecutor(20) as pool:
        states = Counter(pool.map(send, range(20)))

    assert states == {State.ENQUEUED: 1, State.DUPLICATE: 19}
    assert sum(pending(name).values()) == 1


def test_a_key_with_another_payload_is_refused_while_the_task_is_pending(
    enqueuer: Enqueuer, database: Database, pending: Pending, name: str
) -> None:
    with database.context():
        enqueuer.increment(Increment(name, 1), "key")
        with pytest.raises(KeyReused):
            enqueuer.increment(Increment(name, 2), "key")

    assert sum(pending(name).values()) == 1


def test_a_key_holds_after_the_task_was_applied(
    enqueuer: Enqueuer,
    database: Database,
    pending: Pending,
    record: Callable[[str, Increment, bytes], None],
    name: str,
) -> None:
    task = naming.keyed_name(HANDLER, name, "key")
    record(
        task, Increment(name, 1), json.dumps({"counter": name, "amount": 1}, separators=(",", ":")).encode()
    )

    with database.context():
        assert enqueuer.increment(Increment(name, 1), "key").state is State.DUPLICATE
        with pytest.raises(KeyReused):
            enqueuer.increment(Increment(name, 2), "key")

    assert not pending(name), "nothing was enqueued again, although the queue had never known the name"


def test_when_the_answer_is_lost_the_same_name_is_asked_for_again(
    enqueuer: Enqueuer, proxy: FaultyProxy, pending: Pending, name: str
) -> None:
    proxy.set_faults(tasks=[{"method": "CreateTask", "fault": "response_lost", "calls": [1]}])

    answer = enqueuer.increment(Increment(name, 1))

    assert answer.state is State.ENQUEUED
    assert pending(name) == {answer.task: 1}


def test_when_a_keyed_answer_is_lost_it_can_only_be_said_that_it_is_accepted(
    enqueuer: Enqueuer, database: Database, proxy: FaultyProxy, pending: Pending, name: str
) -> None:
    proxy.set_faults(tasks=[{"method": "CreateTask", "fault": "response_lost", "calls": [1]}])

    with database.context():
        answer = enqueuer.increment(Increment(name, 1), "key")

    assert answer.state is State.ACCEPTED
    assert pending(name) == {answer.task: 1}


def test_when_a_request_never_arrived_the_repeat_enqueues_it(
    enqueuer: Enqueuer, database: Database, proxy: FaultyProxy, pending: Pending, name: str
) -> None:
    proxy.set_faults(tasks=[{"method": "CreateTask", "fault": "request_lost", "calls": [1, 2]}])

    with database.context():
        answer = enqueuer.increment(Increment(name, 1), "key")

    assert answer.state is State.ENQUEUED
    assert pending(name) == {answer.task: 1}


def test_when_no_answer_comes_the_caller_is_told_the_name_to_ask_for(
    enqueuer: Enqueuer, proxy: FaultyProxy, pending: Pending, name: str
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
    enqueuer: Enqueuer, pending: Pending, name: str, proxy: FaultyProxy
) -> None:
    before = proxy.report()["tasks"]["calls"].get("BatchCreateTasks", 0)

    answers = enqueuer.increments([Increment(name, 1)] * 500)

    assert Counter(answer.state for answer in answers) == {State.ENQUEUED: 500}
    assert pending(name) == {answer.task: 1 for answer in answers}
    assert proxy.report()["tasks"]["calls"]["BatchCreateTasks"] - before <= 8


def test_where_a_server_has_no_batches_the_tasks_are_created_singly(
    enqueuer: Enqueuer, proxy: FaultyProxy, pending: Pending, name: str
) -> None:
    proxy.set_faults(tasks=[{"method": "BatchCreateTasks", "fault": "request_lost", "code": "UNIMPLEMENTED"}])

    answers = enqueuer.increments([Increment(name, 1)] * 30)

    assert Counter(answer.state for answer in answers) == {State.ENQUEUED: 30}
    assert sum(pending(name).values()) == 30


def test_a_batch_whose_answer_is_lost_is_one_batch(
    enqueuer: Enqueuer, proxy: FaultyProxy, pending: Pending, name: str
) -> None:
    proxy.set_faults(tasks=[{"method": "BatchCreateTasks", "fault": "response_lost", "times": 3}])

    answers = enqueuer.increments([Increment(name, 1)] * 40)

    assert Counter(answer.state for answer in answers) == {State.ENQUEUED: 40}
    assert sum(pending(name).values()) == 40


def test_a_keyed_batch_repeated_enqueues_nothing_more(
    enqueuer: Enqueuer, database: Database, pending: Pending, name: str
) -> None:
    batch = [Increment(name, amount) for amount in range(1, 31)]
    with database.context():
        first = enqueuer.increments(batch, name)
        second = enqueuer.increments(batch, name)

    assert {answer.state for answer in first} == {State.ENQUEUED}
    assert {answer.state for answer in second} == {State.DUPLICATE}
    assert sum(pending(name).values()) == 30


def test_a_keyed_batch_that_was_cut_short_is_completed_by_its_repeat(
    enqueuer: Enqueuer, database: Database, proxy: FaultyProxy, pending: Pending, name: str
) -> None:
    batch = [Increment(name, amount) for amount in range(1, 31)]
    proxy.set_faults(tasks=[{"method": "BatchCreateTasks", "fault": "request_lost"}])
    with database.context():
        cut = Counter(answer.state for answer in enqueuer.increments(batch, name))
        proxy.clear_faults()
        repeated = Counter(answer.state for answer in enqueuer.increments(batch, name))

    assert cut == {State.ENQUEUED: 1, State.UNKNOWN: 29}
    assert repeated == {State.DUPLICATE: 1, State.ENQUEUED: 29}
    assert sum(pending(name).values()) == 30


def test_a_keyed_batch_whose_first_task_may_be_missing_leaves_its_key_free(
    enqueuer: Enqueuer, database: Database, proxy: FaultyProxy, pending: Pending, name: str
) -> None:
    proxy.set_faults(tasks=[{"method": "CreateTask", "fault": "request_lost"}])
    with database.context():
        cut = enqueuer.increments([Increment(name, 1)] * 5, name)
        proxy.clear_faults()
        other = enqueuer.increments([Increment(name, 2)] * 5, name)

    assert {answer.state for answer in cut} == {State.UNKNOWN}
    assert {answer.state for answer in other} == {State.ENQUEUED}
    assert sum(pending(name).values()) == 5


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

    [answer] = queues.create_batch([NewTask(name, "counter-updates-0", b"{}", "/update-counter", 0.0)])

    assert isinstance(answer, OutcomeUnknown)


def test_another_batch_under_the_same_key_enqueues_nothing(
    enqueuer: Enqueuer, database: Database, pending: Pending, name: str
) -> None:
    with database.context():
        enqueuer.increments([Increment(name, 1)] * 5, name)
        for other in ([Increment(name, 1)] * 6, [Increment(name, 1)] * 4 + [Increment(name, 2)]):
            with pytest.raises(KeyReused):
                enqueuer.increments(other, name)

    assert sum(pending(name).values()) == 5


def test_a_queue_that_does_not_exist_is_named_with_what_to_do(tasks_server: TasksProcess) -> None:
    with pytest.raises(QueueRefused, match="COUNTER_QUEUES names the queue 'nowhere', which does not exist"):
        queues_at(tasks_server.address, COUNTER_QUEUES="nowhere").check()


def test_a_queue_that_queue_yaml_no_longer_names_is_named_too(tmp_path: Path) -> None:
    """It is still there, disabled: it would take tasks, and deliver none."""
    file = tmp_path / "queue.yaml"
    for remaining in ("kept", "dropped"), ("kept",):
        entries = "".join(f"- name: {name}\n  rate: 5/s\n" for name in remaining)
        file.write_text(f"queue:\n{entries}")
        with TasksProcess(file, {}, "--project", PROJECT, folder=tmp_path) as server:
            queues = queues_at(server.address, COUNTER_QUEUES="kept", COUNTER_OTHER_QUEUES="dropped")
            if "dropped" in remaining:
                queues.check()
            else:
                with pytest.raises(
                    QueueRefused, match="COUNTER_OTHER_QUEUES names the queue 'dropped', which is disabled"
                ):
                    queues.check()


def test_an_increment_for_a_queue_that_does_not_exist_is_refused(
    tasks_server: TasksProcess, database: Database, name: str
) -> None:
    enqueuer = Enqueuer(queues_at(tasks_server.address, COUNTER_QUEUES="nowhere"), database)

    assert enqueuer.increment(Increment(name, 1)).state is State.REFUSED
    assert enqueuer.increments([Increment(name, 1)] * 2)[1].state is State.REFUSED


def test_records_are_keyed_by_handler_and_task(database: Database) -> None:
    with database.context():
        keys: set[Any] = {TaskRecord.key_of(handler, "t") for handler in ("a", "b")}
        assert len(keys) == 2


def test_what_was_not_there_a_moment_ago_is_asked_for_again(
    database: Database, record: Callable[[str, Increment, bytes], None], name: str
) -> None:
    with ThreadPoolExecutor(1) as elsewhere, database.context():
        key = TaskRecord.key_of(HANDLER, name)
        assert database.get([key]) == [None]
        body = json.dumps({"counter": name, "amount": 1}).encode()
        elsewhere.submit(record, name, Increment(name, 1), body).result()

        assert database.get([key])[0].outcome == "applied"
