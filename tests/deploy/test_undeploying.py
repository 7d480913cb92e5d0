"""`make undeploy` takes down what can be taken down, says what can't, and asks before it does."""

from __future__ import annotations

from deploy import places
from deploy.undeploy import main
from tests.deploy.conftest import NO_APP, ROOT, StandIn

QUEUES = places.queue_names(ROOT / "queue.yaml")
OURS = [{"name": f"projects/p/locations/us-central1/queues/{name}"} for name in QUEUES]


def changes(gcloud: StandIn) -> list[list[str]]:
    """The commands that changed something, without the options that all have."""
    return [
        [part for part in call if part not in ("--project=my-project", "--quiet")]
        for call in gcloud.calls()
        if "--format=json" not in call
    ]


def deployed(gcloud: StandIn) -> None:
    gcloud.answer("tasks queues list", [*OURS, {"name": "projects/p/locations/us-central1/queues/default"}])
    gcloud.answer("app services list", [{"id": "default"}, {"id": "worker"}])
    gcloud.answer(
        "app versions list", [{"id": "old", "traffic_split": 0.0}, {"id": "serving", "traffic_split": 1.0}]
    )
    gcloud.answer("firestore databases describe", {"type": "DATASTORE_MODE"})


def test_deliveries_stop_before_the_worker_goes_and_the_data_stays(gcloud: StandIn) -> None:
    deployed(gcloud)

    done = gcloud.run(main, "--project", "my-project", "--confirm", "my-project")

    assert done.returncode == 0, done.stderr
    assert changes(gcloud) == [
        *(["tasks", "queues", "pause", queue, "--location=us-central1"] for queue in QUEUES),
        ["app", "services", "delete", "worker"],
        ["app", "versions", "delete", "old", "--service=default"],
    ]


def test_data_goes_only_if_one_says_so(gcloud: StandIn) -> None:
    deployed(gcloud)

    gcloud.run(main, "--project", "my-project", "--confirm", "my-project", "--delete-data")

    assert changes(gcloud)[-len(QUEUES) - 1 :] == [
        *(["tasks", "queues", "delete", queue, "--location=us-central1"] for queue in QUEUES),
        ["firestore", "databases", "delete", "--database=(default)"],
    ]


def test_it_says_what_can_not_be_taken_down(gcloud: StandIn) -> None:
    deployed(gcloud)

    said = gcloud.run(main, "--project", "my-project", "--confirm", "my-project").stdout

    for stays in ("its region", "the default service", "the database", "gcloud projects delete my-project"):
        assert stays in said


def test_nothing_happens_without_the_projects_id_typed_again(gcloud: StandIn) -> None:
    for arguments in ([], ["--confirm", "other-project"]):
        done = gcloud.run(main, "--project", "my-project", *arguments)

        assert (done.returncode, gcloud.calls()) == (0, [])
        assert "Nothing was changed." in done.stdout


def test_a_second_time_there_is_nothing_left_to_do(gcloud: StandIn) -> None:
    gcloud.answer("app services list", [{"id": "default"}])
    gcloud.answer("app versions list", [{"id": "serving", "traffic_split": 1.0}])

    done = gcloud.run(main, "--project", "my-project", "--confirm", "my-project")

    assert (done.returncode, changes(gcloud)) == (0, [])


def test_where_nothing_was_deployed_it_says_so(gcloud: StandIn) -> None:
    gcloud.answer("app describe", status=1, stderr=NO_APP)

    done = gcloud.run(main, "--project", "my-project", "--confirm", "my-project")

    assert done.returncode == 1
    assert "nothing to take down" in done.stderr


def test_a_dry_run_runs_nothing_and_asks_nothing(gcloud: StandIn) -> None:
    done = gcloud.run(main, "--project", "my-project", "--dry-run", "--delete-data")

    assert done.returncode == 0
    assert "gcloud firestore databases delete '--database=(default)'" in done.stdout
    assert gcloud.calls() == []
