"""The environment of a service's processes: what App Engine sets, and where the local servers are."""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from localcloud.configuration import Service

# Real service: memory limit by instance class (app.yaml reference, second generation runtimes).
_MEMORY_MB = {
    "F1": 384,
    "F2": 768,
    "F4": 1536,
    "F4_1G": 3072,
    "B1": 384,
    "B2": 768,
    "B4": 1536,
    "B4_1G": 3072,
    "B8": 3072,
}


@dataclass(frozen=True, slots=True)
class Cloud:
    """What is the same for all services of one run."""

    project: str
    region: str
    deployment: str
    datastore_address: str
    tasks_address: str
    overrides: Mapping[str, str]


def service_environment(service: Service, cloud: Cloud, port: int, instance: str) -> dict[str, str]:
    """The variables of one instance. Those that the runtime sets can't be overridden by the YAML file."""
    version = service.version or cloud.deployment
    # Real service: the region is part of the id: s for us-central and the like, e for europe-west.
    region_prefix = "e" if cloud.region.startswith("europe") else "s"
    return {
        **os.environ,
        **service.env_variables,
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)]),
        "PYTHONUNBUFFERED": "1",
        **_gunicorn_options(),
        "GAE_ENV": "standard",
        "GAE_APPLICATION": f"{region_prefix}~{cloud.project}",
        "GAE_SERVICE": service.name,
        "GAE_VERSION": version,
        "GAE_INSTANCE": instance,
        "GAE_RUNTIME": service.runtime,
        "GAE_MEMORY_MB": str(_MEMORY_MB.get(service.instance_class, 384)),
        "GAE_DEPLOYMENT_ID": cloud.deployment,
        "GOOGLE_CLOUD_PROJECT": cloud.project,
        # We differ: on App Engine PORT is 8080; here each instance has a port of its own, and a program that
        # listens on 8080 whatever PORT says is reported at the start.
        "PORT": str(port),
        # We differ: the real service tells the region through the metadata server only. LOCATION_ID is what
        # Google's own libraries read before they ask that server.
        "LOCATION_ID": cloud.region,
        "DATASTORE_EMULATOR_HOST": cloud.datastore_address,
        "CLOUD_TASKS_EMULATOR_HOST": cloud.tasks_address,
        **cloud.overrides,
    }


def _gunicorn_options() -> dict[str, str]:
    """gunicorn 25 and later keeps a control socket at one place for all; several instances would share it."""
    found = importlib.util.find_spec("gunicorn")
    if found is None or found.origin is None or not (Path(found.origin).parent / "ctl").is_dir():
        return {}
    given = os.environ.get("GUNICORN_CMD_ARGS", "")
    return {"GUNICORN_CMD_ARGS": f"{given} --no-control-socket".strip()}
