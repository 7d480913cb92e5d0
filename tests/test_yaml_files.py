"""The YAML files as Google's own parsers read them, and what they have to say."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from google.appengine.api import appinfo, queueinfo
from google.appengine.datastore import datastore_index

from counters.settings import CounterSettings
from counters.tasks import TASKS
from pushtasks.task import Kinds

ROOT = Path(__file__).parent.parent


@pytest.fixture(params=["app.yaml", "worker.yaml"])
def service(request: pytest.FixtureRequest) -> Any:
    return appinfo.LoadSingleAppInfo((ROOT / request.param).read_text())


@pytest.fixture
def queues() -> list[Any]:
    return list(queueinfo.LoadSingleQueue((ROOT / "queue.yaml").read_text()).queue)


def handler(service: Any, url: str) -> Any:
    return next(each for each in service.handlers if each.url == url)


def test_a_service_runs_gunicorn_with_threads_and_no_timeout_of_its_own(service: Any) -> None:
    assert service.runtime == "python313"
    assert f"{service.service}.main:app" in service.entrypoint
    assert "--worker-class pushtasks.web.gunicorn_worker.Worker" in service.entrypoint
    assert "--timeout 0" in service.entrypoint
    assert ":$PORT" in service.entrypoint


def test_login_is_honoured_the_bill_bounded_and_instances_warmed(service: Any) -> None:
    assert service.app_engine_apis
    assert int(service.automatic_scaling.max_instances) > 0
    assert "warmup" in service.inbound_services


def test_threads_match_the_requests_that_an_instance_gets(service: Any) -> None:
    workers, threads = (
        int(service.entrypoint.partition(f"--{option} ")[2].split()[0]) for option in ("workers", "threads")
    )

    assert int(service.automatic_scaling.max_concurrent_requests) == workers * threads


def test_the_dashboard_is_for_administrators_over_https() -> None:
    default = appinfo.LoadSingleAppInfo((ROOT / "app.yaml").read_text())
    admin = handler(default, "/admin(/.*)?")

    assert admin.login == "admin"
    assert all(each.secure == "always" for each in default.handlers if not each.url.startswith("/_ah/"))
    urls = [each.url for each in default.handlers]
    assert urls.index("/admin(/.*)?") < urls.index("/.*")


def test_app_engines_own_requests_are_not_redirected(service: Any) -> None:
    own = handler(service, "/_ah/(warmup|start|stop)")

    assert own.secure == "optional"
    assert own.login == "optional"
    urls = [each.url for each in service.handlers]
    assert urls.index(own.url) < urls.index("/.*")


def test_tasks_need_an_administrator_or_the_queue_and_are_never_redirected() -> None:
    worker = appinfo.LoadSingleAppInfo((ROOT / "worker.yaml").read_text())
    update = handler(worker, "/.*")

    assert update.login == "admin"
    assert update.secure == "optional"


def test_the_queues_are_those_that_the_kinds_of_task_declare(queues: list[Any]) -> None:
    kinds = Kinds(TASKS, CounterSettings.read({"GOOGLE_CLOUD_PROJECT": "p"}))

    assert sorted(queue.name for queue in queues) == sorted(kinds.queues)


def test_a_queue_never_gives_a_task_up(queues: list[Any]) -> None:
    for queue in queues:
        assert queue.retry_parameters.task_retry_limit is None
        assert queue.retry_parameters.task_age_limit is None


def test_every_queue_says_its_target_rates_and_backoff(queues: list[Any]) -> None:
    for queue in queues:
        assert queue.target == "worker"
        assert queue.rate
        assert queue.bucket_size
        assert queue.max_concurrent_requests
        assert queue.retry_parameters.min_backoff_seconds
        assert queue.retry_parameters.max_backoff_seconds
        assert queue.retry_parameters.max_doublings


def test_the_indexes_can_be_read() -> None:
    assert datastore_index.ParseIndexDefinitions((ROOT / "index.yaml").read_text()) is not None
