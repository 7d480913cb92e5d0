"""`make undeploy PROJECT=my-project`: take down what can be taken down, and say what can't.

Without DELETE_DATA=1 nothing that was counted or accepted is lost: what waits in the queues stays there, and
the next `make deploy` goes on with it.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from deploy import places
from deploy.deployment import DATABASE
from deploy.gcloud import Gcloud, Stopped

ROOT = Path(__file__).parent.parent

STAYS = """
What stays:
- the application and its region: they go with the project only (gcloud projects delete PROJECT);
- the default service with its serving version, for App Engine wants one: it goes on answering, but has no
  instances, and so costs nothing, while nobody calls. What it accepts waits in the paused queues. To stop it
  answering, disable the application in the console: App Engine > Settings > Disable application;
- roles and APIs: they cost nothing;"""

DATA_STAYS = """\
- the database with all counts and records, and the paused queues with what waits in them. Stored data is
  billed beyond 1 GiB; `make deploy` brings everything back. To delete both: DELETE_DATA=1."""


class Undeployment:
    """Takes down what `deploy.deployment` set up. Raises Stopped if a step can't be done."""

    def __init__(self, gcloud: Gcloud, root: Path, *, deletes_data: bool) -> None:
        self._gcloud = gcloud
        self._root = root
        self._deletes_data = deletes_data

    def run(self) -> None:
        gcloud = self._gcloud
        gcloud.require()
        gcloud.say("Where is the application?")
        app = gcloud.ask("app", "describe", assumed={"locationId": "REGION"})
        if app is None:
            raise Stopped(f"{gcloud.project} has no App Engine application: there is nothing to take down.")
        region = places.region_of(app["locationId"])
        self._pause_queues(region)
        self._delete_worker()
        self._delete_old_versions()
        if self._deletes_data:
            self._delete_data(region)
        print(STAYS.replace("PROJECT", gcloud.project))
        if not self._deletes_data:
            print(DATA_STAYS)

    def _queues(self, region: str) -> list[str]:
        """Those that exist, of ours."""
        ours = places.queue_names(self._root / "queue.yaml")
        found = self._gcloud.ask(
            "tasks",
            "queues",
            "list",
            f"--location={region}",
            assumed=[{"name": f"queues/{name}"} for name in ours],
        )
        there = {each["name"].rpartition("/")[2] for each in found or ()}
        return [name for name in ours if name in there]

    def _pause_queues(self, region: str) -> None:
        gcloud = self._gcloud
        gcloud.say("Which of our queues are there?")
        for queue in self._queues(region):
            gcloud.say("Deliver nothing more; what waits stays.")
            gcloud.change("tasks", "queues", "pause", queue, f"--location={region}")

    def _delete_worker(self) -> None:
        gcloud, worker = self._gcloud, places.service_name(self._root / "worker.yaml")
        gcloud.say(f"Is there a {worker} service?")
        services = gcloud.ask("app", "services", "list", assumed=[{"id": worker}])
        if any(service["id"] == worker for service in services or ()):
            gcloud.say("It can be deleted, with all its versions.")
            gcloud.change("app", "services", "delete", worker)

    def _delete_old_versions(self) -> None:
        gcloud, default = self._gcloud, places.service_name(self._root / "app.yaml")
        gcloud.say(f"Which versions of the {default} service get no traffic?")
        versions = gcloud.ask(
            "app",
            "versions",
            "list",
            f"--service={default}",
            assumed=[{"id": "AN_OLD_VERSION", "traffic_split": 0.0}],
        )
        idle = [str(version["id"]) for version in versions or () if not version.get("traffic_split")]
        if idle:
            gcloud.say("Those can be deleted.")
            gcloud.change("app", "versions", "delete", *idle, f"--service={default}")

    def _delete_data(self, region: str) -> None:
        gcloud = self._gcloud
        gcloud.say("Which queues are left?")
        for queue in self._queues(region):
            gcloud.say("With what waits in it. Its name can't be used again for up to 7 days.")
            gcloud.change("tasks", "queues", "delete", queue, f"--location={region}")
        gcloud.say("Is the database there?")
        database = gcloud.ask(
            "firestore", "databases", "describe", f"--database={DATABASE}", assumed={"name": DATABASE}
        )
        if database is not None:
            gcloud.say("Every count and every record, of every application that shares this database.")
            gcloud.change("firestore", "databases", "delete", f"--database={DATABASE}")


def main(arguments: Sequence[str]) -> int:
    """The exit status: 0 when done or not confirmed, 1 when a step could not be done (repeat it)."""
    parser = argparse.ArgumentParser(prog="make undeploy", description=__doc__)
    parser.add_argument("--project", required=True)
    parser.add_argument("--delete-data", action="store_true")
    parser.add_argument("--dry-run", action="store_true", help="print the commands, run none")
    parser.add_argument("--confirm", default="", metavar="PROJECT", help="the project's id again")
    given = parser.parse_args(arguments)
    try:
        project = places.parse_project(given.project)
        if not given.dry_run and not _confirmed(project, given.confirm, deletes_data=given.delete_data):
            print("Nothing was changed.")
            return 0
        Undeployment(Gcloud(project, dry_run=given.dry_run), ROOT, deletes_data=given.delete_data).run()
    except Stopped as reason:
        print(f"undeploy: {reason}", file=sys.stderr)
        return 1
    return 0


def _confirmed(project: str, given: str, *, deletes_data: bool) -> bool:
    if given:
        return given == project
    what = "the worker, the queues and ALL DATA" if deletes_data else "the worker; data and queues stay"
    print(f"This takes down {what}. Type the project's id ({project}) to go on: ", end="", flush=True)
    return sys.stdin.readline().strip() == project


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
