"""Runs other people's clients against our Datastore and Cloud Tasks, and prints which of them work.

Node's clients and firebase-admin are downloaded into `.conformance/clients/`; gcloud is used where installed.
Google's own Python clients are in the tests.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from localcloud.testing import DatastoreProcess
from localcloud.testing.servers import TasksProcess

_FOLDER = Path(".conformance/clients").resolve()
_SCRIPTS = Path(__file__).parent / "client_scripts"
_NODE = ("@google-cloud/datastore@10", "@google-cloud/tasks@6", "firebase-admin@13")
_FIREBASE = """
from firebase_admin import exceptions, functions, initialize_app
initialize_app(options={"projectId": "local-project"})
queue = functions.task_queue("default")
options = functions.TaskOptions(task_id="python", schedule_delay_seconds=600)
assert queue.enqueue({"x": 1}, options) == "python"
try:
    queue.enqueue({"x": 1}, options)
except exceptions.AlreadyExistsError:
    queue.delete("python")
"""
_IN_QUEUE = ("--queue=gcloud", "--location=us-central1")
_GCLOUD: tuple[Sequence[str], ...] = (
    ("tasks", "queues", "create", "gcloud", "--location=us-central1", "--max-attempts=4"),
    ("tasks", "queues", "pause", "gcloud", "--location=us-central1"),
    ("tasks", "queues", "update", "gcloud", "--location=us-central1", "--min-backoff=2s"),
    ("tasks", "queues", "describe", "gcloud", "--location=us-central1"),
    ("tasks", "create-app-engine-task", "a", *_IN_QUEUE, "--relative-uri=/work", "--body-content=hi"),
    ("tasks", "create-http-task", "b", *_IN_QUEUE, "--url=http://127.0.0.1:9/"),
    ("tasks", "list", *_IN_QUEUE),
    ("tasks", "describe", "a", *_IN_QUEUE, "--response-view=full"),
    ("tasks", "run", "a", *_IN_QUEUE),
    ("tasks", "delete", "b", *_IN_QUEUE),
    ("tasks", "queues", "purge", "gcloud", "--location=us-central1"),
    ("tasks", "queues", "resume", "gcloud", "--location=us-central1"),
    ("tasks", "queues", "delete", "gcloud", "--location=us-central1"),
    ("tasks", "queues", "list", "--location=us-central1"),
    ("tasks", "locations", "list"),
    ("beta", "tasks", "queues", "list", "--location=us-central1"),
)


def main() -> int:
    """The exit status: 0 if all that could be tried works."""
    _FOLDER.mkdir(parents=True, exist_ok=True)
    results: list[bool] = []
    with DatastoreProcess() as datastore, TasksProcess(Path("queue.yaml"), {}) as tasks:
        if shutil.which("npm") is None:
            print("skipped: Node's clients (no npm)")
        else:
            results += node(datastore, tasks)
        results.append(firebase(tasks))
        if shutil.which("gcloud") is None:
            print("skipped: gcloud (not installed)")
        else:
            results += gcloud(tasks)
    return 0 if all(results) else 1


def node(datastore: DatastoreProcess, tasks: TasksProcess) -> list[bool]:
    """Node's clients, over both transports."""
    install = ["npm", "install", "--silent", "--no-audit", "--no-fund", "--prefix", str(_FOLDER), *_NODE]
    subprocess.run(install, check=True)
    for script in _SCRIPTS.glob("*.js"):
        shutil.copy(script, _FOLDER)
    at_grpc = {"DATASTORE_EMULATOR_HOST": datastore.address}
    at_http = {"DATASTORE_EMULATOR_HOST": datastore.http_address}
    at_tasks = {"CLOUD_TASKS_EMULATOR_HOST": tasks.http_address}
    return [
        passes("Node, Datastore, gRPC", ["node", "datastore.js", "grpc"], at_grpc),
        passes("Node, Datastore, gRPC at the HTTP port", ["node", "datastore.js", "grpc"], at_http),
        passes("Node, Datastore, REST", ["node", "datastore.js", "rest"], at_http),
        passes("Node, Cloud Tasks, gRPC", ["node", "tasks.js", "grpc", port_of(tasks.address)], {}),
        passes("Node, Cloud Tasks, REST", ["node", "tasks.js", "rest", port_of(tasks.http_address)], {}),
        passes("Node, firebase-admin", ["node", "firebase.js"], at_tasks),
    ]


def firebase(tasks: TasksProcess) -> bool:
    """firebase-admin for Python, in an environment of its own: it pins other versions."""
    environment = _FOLDER / "python"
    if not environment.is_dir():
        subprocess.run([sys.executable, "-m", "venv", str(environment)], check=True)
        pip = [str(environment / "bin/pip"), "--quiet", "--disable-pip-version-check"]
        subprocess.run([*pip, "install", "firebase-admin"], check=True)
    command = [str(environment / "bin/python"), "-c", _FIREBASE]
    return passes("Python, firebase-admin", command, {"CLOUD_TASKS_EMULATOR_HOST": tasks.http_address})


def gcloud(tasks: TasksProcess) -> list[bool]:
    """gcloud, with a configuration of its own and no account."""
    environ = {
        "CLOUDSDK_CONFIG": str(_FOLDER / "gcloud"),
        "CLOUDSDK_CORE_PROJECT": "local-project",
        "CLOUDSDK_CORE_DISABLE_PROMPTS": "true",
        "CLOUDSDK_CORE_DISABLE_USAGE_REPORTING": "true",
        "CLOUDSDK_AUTH_DISABLE_CREDENTIALS": "true",
        "CLOUDSDK_COMPONENT_MANAGER_DISABLE_UPDATE_CHECK": "true",
        "CLOUDSDK_API_ENDPOINT_OVERRIDES_CLOUDTASKS": f"http://{tasks.http_address}/",
    }
    return [passes(f"gcloud {' '.join(each)}", ["gcloud", *each], environ) for each in _GCLOUD]


def passes(name: str, command: Sequence[str], environ: Mapping[str, str]) -> bool:
    """Does the command end well? Prints what it said if it doesn't."""
    given = {**os.environ, "GOOGLE_CLOUD_PROJECT": "local-project", **environ}
    done = subprocess.run(
        command, cwd=_FOLDER, env=given, capture_output=True, text=True, check=False, timeout=180
    )
    print(f"{'failed' if done.returncode else 'works'}: {name}", flush=True)
    if done.returncode:
        print(done.stdout + done.stderr)
    return done.returncode == 0


def port_of(address: str) -> str:
    return address.rpartition(":")[2]


if __name__ == "__main__":
    sys.exit(main())
