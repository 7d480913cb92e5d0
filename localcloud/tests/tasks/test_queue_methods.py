"""Creating, changing, listing, pausing, purging and deleting queues, and their statistics."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from google.api_core import exceptions
from google.cloud import tasks_v2
from google.protobuf import duration_pb2, field_mask_pb2
from localcloud.tasks import TasksServer

from tests.tasks.harness import Client, Handler, beta_client_of, wait_until

State = tasks_v2.Queue.State
WORK = {"app_engine_http_request": {"relative_uri": "/work"}}


@pytest.fixture
def location(server: TasksServer) -> str:
    return server.location_name


@pytest.fixture
def beta_client(server: TasksServer) -> Iterator[Client]:
    with beta_client_of(server.address) as client:
        yield client


def test_a_queue_made_with_nothing_but_a_name_gets_the_services_defaults(
    client: Client, location: str
) -> None:
    queue = client.create_queue(parent=location, queue={"name": f"{location}/queues/new"})
    assert queue.state == State.RUNNING
    assert queue.rate_limits.max_dispatches_per_second == 500
    assert queue.rate_limits.max_burst_size >= 500
    assert queue.rate_limits.max_concurrent_dispatches == 1000
    assert queue.retry_config.max_attempts == 100
    assert queue.retry_config.max_doublings == 16
    assert queue.retry_config.min_backoff.total_seconds() == 0.1
    assert queue.retry_config.max_backoff.total_seconds() == 3600
    assert client.get_queue(name=queue.name) == queue


def test_a_name_that_is_taken_is_refused(client: Client, location: str) -> None:
    with pytest.raises(exceptions.AlreadyExists):
        client.create_queue(parent=location, queue={"name": f"{location}/queues/q"})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"rate_limits": {"max_dispatches_per_second": 501}}, "at most 500"),
        ({"rate_limits": {"max_dispatches_per_second": -1}}, "at most 500"),
        ({"rate_limits": {"max_concurrent_dispatches": 5001}}, "5,000"),
        ({"retry_config": {"max_attempts": -2}}, "max_attempts"),
        ({"retry_config": {"max_doublings": -1}}, "max_doublings"),
        ({"retry_config": {"min_backoff": duration_pb2.Duration(seconds=-1)}}, "min_backoff is -1 s"),
        ({"retry_config": {"max_backoff": duration_pb2.Duration(seconds=2**62)}}, "max_backoff is"),
        ({"retry_config": {"min_backoff": duration_pb2.Duration(seconds=1, nanos=-5)}}, "-5 ns"),
        ({"name": "projects/other/locations/l/queues/new"}, "must start with its parent"),
        ({"name": "new"}, "malformed"),
    ],
)
def test_a_queue_that_cannot_be_is_refused_with_the_reason(
    client: Client, location: str, change: dict[str, Any], message: str
) -> None:
    with pytest.raises(exceptions.InvalidArgument, match=message):
        client.create_queue(parent=location, queue={"name": f"{location}/queues/new", **change})


def test_an_update_changes_what_its_mask_names(client: Client, queue: str) -> None:
    before = client.get_queue(name=queue)
    change = tasks_v2.Queue(
        name=queue,
        rate_limits={"max_dispatches_per_second": 7, "max_concurrent_dispatches": 3},
        retry_config={"max_attempts": 9},
        state=State.PAUSED,
    )
    mask = field_mask_pb2.FieldMask(paths=["rate_limits.max_dispatches_per_second"])
    after = client.update_queue(queue=change, update_mask=mask)
    assert after.rate_limits.max_dispatches_per_second == 7
    # An update resets the burst that queue.yaml set.
    assert after.rate_limits.max_burst_size == 7
    assert after.rate_limits.max_concurrent_dispatches == before.rate_limits.max_concurrent_dispatches
    assert after.retry_config == before.retry_config
    assert after.state == State.RUNNING


def test_an_update_without_a_mask_changes_everything(client: Client, queue: str) -> None:
    after = client.update_queue(queue={"name": queue, "rate_limits": {"max_dispatches_per_second": 7}})
    assert after.rate_limits.max_dispatches_per_second == 7
    assert after.retry_config.max_attempts == 100


def test_max_doublings_can_be_set_to_nought(client: Client, queue: str) -> None:
    mask = field_mask_pb2.FieldMask(paths=["retry_config.max_doublings"])
    after = client.update_queue(queue={"name": queue}, update_mask=mask)
    assert after.retry_config.max_doublings == 0


def test_an_update_of_a_queue_that_is_not_there_makes_it(client: Client, location: str) -> None:
    queue = client.update_queue(queue={"name": f"{location}/queues/new"})
    assert client.get_queue(name=queue.name).rate_limits.max_dispatches_per_second == 500


def test_an_update_of_a_field_that_queues_lack_is_refused(client: Client, queue: str) -> None:
    mask = field_mask_pb2.FieldMask(paths=["colour"])
    with pytest.raises(exceptions.InvalidArgument, match="colour"):
        client.update_queue(queue={"name": queue}, update_mask=mask)


def test_queues_are_listed_by_name_in_pages(client: Client, location: str) -> None:
    for name in ("zebra", "ant"):
        client.create_queue(parent=location, queue={"name": f"{location}/queues/{name}"})
    pager = client.list_queues(request={"parent": location, "page_size": 3})
    assert [queue.name.rpartition("/")[2] for queue in pager] == ["ant", "default", "q", "zebra"]
    assert len(next(client.list_queues(request={"parent": location, "page_size": 3}).pages).queues) == 3
    assert list(client.list_queues(parent="projects/other/locations/l")) == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("state: PAUSED", ["q"]),
        ("state = RUNNING", ["default"]),
        ("state != PAUSED AND rate_limits.max_dispatches_per_second < 10", ["default"]),
        ("rate_limits.max_dispatches_per_second >= 500", ["q"]),
        ('name: "queues/q"', ["q"]),
        ("retry_config.max_attempts > 5", []),
    ],
)
def test_queues_are_filtered(
    client: Client, location: str, queue: str, text: str, expected: list[str]
) -> None:
    client.pause_queue(name=queue)
    found = client.list_queues(request={"parent": location, "filter": text})
    assert [queue.name.rpartition("/")[2] for queue in found] == expected


@pytest.mark.parametrize(
    "text",
    [
        "PAUSED",
        "state:",
        "state: BLUE",
        "colour = red",
        "retry_config = 1",
        "state = PAUSED OR state = RUNNING",
        "state = PAUSED AND",
        "rate_limits.max_burst_size = many",
    ],
)
def test_a_filter_that_is_not_understood_is_refused(client: Client, location: str, text: str) -> None:
    with pytest.raises(exceptions.InvalidArgument, match="filter"):
        list(client.list_queues(request={"parent": location, "filter": text}))


def test_a_paused_queue_takes_tasks_and_delivers_them_when_it_is_resumed(
    client: Client, queue: str, handler: Handler, server: TasksServer
) -> None:
    assert client.pause_queue(name=queue).state == State.PAUSED
    for _ in range(3):
        client.create_task(parent=queue, task=WORK)
    with pytest.raises(TimeoutError):
        server.wait_idle(0.05)
    assert handler.requests == []
    assert client.resume_queue(name=queue).state == State.RUNNING
    server.wait_idle()
    assert len(handler.requests) == 3


def test_a_purge_removes_all_tasks_and_tells_when(
    client: Client, queue: str, handler: Handler, server: TasksServer
) -> None:
    client.pause_queue(name=queue)
    names = [client.create_task(parent=queue, task=WORK).name for _ in range(3)]
    purged = client.purge_queue(name=queue)
    assert purged.purge_time
    assert list(client.list_tasks(parent=queue)) == []
    client.resume_queue(name=queue)
    server.wait_idle()
    assert handler.requests == []
    with pytest.raises(exceptions.AlreadyExists):
        client.create_task(parent=queue, task={"name": names[0], **WORK})


def test_a_deleted_queue_is_gone_with_its_tasks(
    client: Client, queue: str, handler: Handler, server: TasksServer
) -> None:
    client.pause_queue(name=queue)
    task = client.create_task(parent=queue, task=WORK)
    client.delete_queue(name=queue)
    for call in (
        client.get_queue,
        client.pause_queue,
        client.resume_queue,
        client.purge_queue,
        client.delete_queue,
    ):
        with pytest.raises(exceptions.NotFound, match="Queue does not exist"):
            call(name=queue)
    with pytest.raises(exceptions.NotFound):
        client.create_task(parent=queue, task=WORK)
    with pytest.raises(exceptions.NotFound):
        client.get_task(name=task.name)
    client.create_queue(parent=server.location_name, queue={"name": queue})
    server.wait_idle()
    assert handler.requests == []


def test_a_queue_deleted_while_it_delivers_harms_nobody(
    client: Client, queue: str, handler: Handler, server: TasksServer
) -> None:
    handler.statuses = [500]
    handler.before_answer = lambda: client.delete_queue(name=queue)
    client.create_task(parent=queue, task=WORK)
    handler.wait_for(1)
    server.wait_idle()
    other = client.create_queue(
        parent=server.location_name, queue={"name": f"{server.location_name}/queues/other"}
    )
    handler.before_answer = lambda: None
    client.create_task(parent=other.name, task=WORK)
    server.wait_idle()
    assert len(handler.requests) == 2


def test_statistics_come_only_when_asked_for(beta_client: Client, client: Client, queue: str) -> None:
    client.pause_queue(name=queue)
    for _ in range(3):
        client.create_task(parent=queue, task=WORK)
    plain = beta_client.get_queue(name=queue)
    assert plain.stats.tasks_count == 0
    assert plain.tombstone_ttl.total_seconds() == 9 * 24 * 3600
    assert plain.task_ttl.total_seconds() == 3650 * 24 * 3600
    masked = beta_client.get_queue(request={"name": queue, "read_mask": {"paths": ["name", "stats"]}})
    assert masked.name == queue
    assert masked.stats.tasks_count == 3
    assert masked.stats.oldest_estimated_arrival_time
    assert masked.stats.effective_execution_rate == 500
    assert masked.rate_limits.max_burst_size == 0
    everything = beta_client.get_queue(request={"name": queue, "read_mask": {"paths": ["*"]}})
    assert everything.stats.tasks_count == 3
    assert everything.rate_limits.max_burst_size == 100


def test_v2beta3_lists_the_queues_that_its_filter_names_page_by_page(
    beta_client: Client, client: Client, queue: str, location: str
) -> None:
    client.pause_queue(name=queue)
    pause = {"parent": location, "filter": "state = PAUSED", "page_size": 1}
    assert [found.name for found in beta_client.list_queues(request=pause)] == [queue]
    for wrong in ({"filter": "state = ("}, {"read_mask": {"paths": ["statz"]}}):
        with pytest.raises(exceptions.InvalidArgument):
            list(beta_client.list_queues(request={"parent": location, **wrong}))


def test_a_read_mask_names_the_fields_of_the_real_queue(beta_client: Client, queue: str) -> None:
    found = beta_client.get_queue(request={"name": queue, "read_mask": {"paths": ["type"]}})
    assert (found.type_.name, found.name) == ("PUSH", "")
    with pytest.raises(exceptions.InvalidArgument, match="read_mask has statz"):
        beta_client.get_queue(request={"name": queue, "read_mask": {"paths": ["statz"]}})


def test_statistics_count_what_runs_and_what_ran(
    beta_client: Client,
    client: Client,
    queue: str,
    handler: Handler,
    server: TasksServer,
) -> None:
    running: list[int] = []

    def look() -> None:
        found = beta_client.get_queue(request={"name": queue, "read_mask": {"paths": ["stats"]}})
        running.append(found.stats.concurrent_dispatches_count)

    handler.before_answer = look
    client.create_task(parent=queue, task=WORK)
    server.wait_idle()
    assert running == [1]
    listed = beta_client.list_queues(
        request={"parent": server.location_name, "read_mask": {"paths": ["name", "stats"]}}
    )
    stats = {found.name: found.stats for found in listed}[queue]
    assert (stats.tasks_count, stats.concurrent_dispatches_count, stats.executed_last_minute_count) == (
        0,
        0,
        1,
    )


def test_every_application_has_a_default_queue(client: Client, location: str, handler: Handler) -> None:
    queue = client.get_queue(name=f"{location}/queues/default")
    assert queue.rate_limits.max_dispatches_per_second == 5
    client.create_task(parent=queue.name, task=WORK)
    wait_until(lambda: len(handler.requests) == 1)
