"""What a service's process finds in its environment."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from localcloud.configuration import Service
from localcloud.routing import ServiceRoutes
from localcloud.supervisor.environment import Cloud, service_environment

CLOUD = Cloud(
    project="my-project",
    region="us-central1",
    deployment="20260101t120000",
    datastore_address="127.0.0.1:1",
    tasks_address="127.0.0.1:2",
    overrides={},
)
SERVICE = Service(
    name="worker", file=Path("/app/worker.yaml"), routes=ServiceRoutes("worker"), entrypoint="x"
)


def test_what_the_runtime_sets_can_not_be_set_by_the_file() -> None:
    service = replace(SERVICE, env_variables={"GAE_ENV": "mine", "PORT": "1", "OWN": "2"})
    seen = service_environment(service, CLOUD, 8081, "worker-1")
    assert (seen["GAE_ENV"], seen["PORT"], seen["OWN"]) == ("standard", "8081", "2")


def test_options_come_before_the_file() -> None:
    service = replace(SERVICE, env_variables={"OWN": "file"})
    seen = service_environment(service, replace(CLOUD, overrides={"OWN": "option"}), 8081, "worker-1")
    assert seen["OWN"] == "option"


@pytest.mark.parametrize(
    ("instance_class", "memory"), [("F1", "384"), ("F2", "768"), ("B4_1G", "3072"), ("?", "384")]
)
def test_the_memory_is_the_instance_class_s(instance_class: str, memory: str) -> None:
    seen = service_environment(replace(SERVICE, instance_class=instance_class), CLOUD, 1, "i")
    assert seen["GAE_MEMORY_MB"] == memory


def test_a_version_in_the_file_is_the_version() -> None:
    assert service_environment(replace(SERVICE, version="v7"), CLOUD, 1, "i")["GAE_VERSION"] == "v7"
    assert service_environment(SERVICE, CLOUD, 1, "i")["GAE_VERSION"] == "20260101t120000"
