"""`make deploy` runs these gcloud commands, in this order, and says what to do when it can't."""

from __future__ import annotations

import os
import shlex
import subprocess
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from deploy import places
from deploy.__main__ import main
from deploy.deployment import ROLES
from tests.deploy.conftest import APP, NO_APP, ROOT, Deploy, StandIn

QUEUES = places.queue_names(ROOT / "queue.yaml")
ALWAYS = ["--project=my-project", "--quiet"]
ASKED = [*ALWAYS, "--format=json"]
MEMBER = "--member=serviceAccount:my-project@appspot.gserviceaccount.com"


def fresh_project() -> list[list[str]]:
    """Every command, for a project with nothing in it."""
    return [
        ["auth", "list", "--filter=status:ACTIVE", *ASKED],
        ["projects", "describe", "my-project", *ASKED],
        ["billing", "projects", "describe", "my-project", *ASKED],
        [
            "services",
            "enable",
            "appengine.googleapis.com",
            "artifactregistry.googleapis.com",
            "cloudbuild.googleapis.com",
            "cloudtasks.googleapis.com",
            "datastore.googleapis.com",
            "firestore.googleapis.com",
            *ALWAYS,
        ],
        ["app", "describe", *ASKED],
        ["app", "create", "--region=us-central", *ALWAYS],
        ["app", "describe", *ASKED],
        ["firestore", "databases", "describe", "--database=(default)", *ASKED],
        [
            "firestore",
            "databases",
            "create",
            "--database=(default)",
            "--location=us-central1",
            "--type=datastore-mode",
            *ALWAYS,
        ],
        *(
            [
                "projects",
                "add-iam-policy-binding",
                "my-project",
                MEMBER,
                f"--role={role}",
                "--condition=None",
                "--format=none",
                *ALWAYS,
            ]
            for role, _ in ROLES
        ),
        ["datastore", "indexes", "create", "index.yaml", *ALWAYS],
        [
            "firestore",
            "fields",
            "ttls",
            "list",
            "--collection-group=TaskRecord",
            "--database=(default)",
            *ASKED,
        ],
        [
            "firestore",
            "fields",
            "ttls",
            "update",
            "expire_at",
            "--collection-group=TaskRecord",
            "--database=(default)",
            "--enable-ttl",
            "--async",
            *ALWAYS,
        ],
        ["tasks", "queues", "list", "--location=us-central1", *ASKED],
        ["app", "deploy", "queue.yaml", *ALWAYS],
        ["app", "deploy", "app.yaml", "--promote", *ALWAYS],
        ["app", "deploy", "worker.yaml", "--promote", *ALWAYS],
    ]


def commands_in(output: str) -> list[list[str]]:
    return [shlex.split(line)[1:] for line in output.splitlines() if line.startswith("gcloud ")]


def test_a_dry_run_prints_every_command_for_a_fresh_project_and_runs_none(
    deploy: Deploy, gcloud: StandIn
) -> None:
    done = deploy("--dry-run")

    assert done.returncode == 0, done.stderr
    assert commands_in(done.stdout) == fresh_project()
    assert gcloud.calls() == []


def test_a_dry_run_is_a_script_that_a_shell_takes(deploy: Deploy) -> None:
    script = deploy("--dry-run").stdout

    subprocess.run(["sh", "-n"], input=script, text=True, check=True)


def test_a_dry_run_needs_no_gcloud(deploy: Deploy, gcloud: StandIn) -> None:
    gcloud.remove()

    done = deploy("--dry-run")

    assert done.returncode == 0, done.stderr


def test_a_project_where_all_is_there_gets_new_versions_only(deploy: Deploy, gcloud: StandIn) -> None:
    gcloud.answer("firestore databases describe", {"type": "DATASTORE_MODE", "locationId": "nam5"})
    gcloud.answer(
        "firestore fields ttls list",
        [{"name": "projects/p/databases/d/collectionGroups/TaskRecord/fields/expire_at"}],
    )
    gcloud.answer(
        "tasks queues list",
        [{"name": f"projects/p/locations/l/queues/{queue}", "state": "RUNNING"} for queue in QUEUES],
    )

    done = deploy()

    assert done.returncode == 0, done.stderr
    made = {
        ("app", "create"),
        ("firestore", "databases", "create"),
        ("firestore", "fields", "ttls", "update"),
    }
    assert not [call for call in gcloud.calls() if any(tuple(call[: len(each)]) == each for each in made)]
    assert [call[:3] for call in gcloud.calls()][-3:] == [
        ["app", "deploy", "queue.yaml"],
        ["app", "deploy", "app.yaml"],
        ["app", "deploy", "worker.yaml"],
    ]


def test_the_addresses_are_told(deploy: Deploy) -> None:
    said = deploy().stdout

    assert "https://my-project.uc.r.appspot.com/admin" in said
    assert "https://worker-dot-my-project.uc.r.appspot.com/update-counter" in said
    assert "make smoke URL=https://my-project.uc.r.appspot.com" in said


def test_every_command_is_explained(deploy: Deploy) -> None:
    lines = deploy("--dry-run").stdout.splitlines()

    for before, line in pairwise(lines):
        assert not line.startswith("gcloud ") or before.startswith("# ")


def test_the_roles_go_to_the_account_that_the_application_runs_as(deploy: Deploy, gcloud: StandIn) -> None:
    gcloud.answer("app describe", {**APP, "serviceAccount": "own@my-project.iam.gserviceaccount.com"})

    deploy()

    members = {call[3] for call in gcloud.calls() if call[1] == "add-iam-policy-binding"}
    assert members == {"--member=serviceAccount:own@my-project.iam.gserviceaccount.com"}


@pytest.mark.parametrize(
    ("command", "answer", "mended_by"),
    [
        ("auth list", {"answer": []}, "gcloud auth login"),
        (
            "projects describe",
            {"answer": {"lifecycleState": "DELETE_REQUESTED"}},
            "gcloud projects create my-",
        ),
        (
            "projects describe",
            {"status": 1, "stderr": "ERROR: (gcloud) PERMISSION_DENIED: no"},
            "gcloud projects list",
        ),
        ("billing projects describe", {"answer": {"billingEnabled": False}}, "gcloud billing projects link"),
        ("app describe", {"answer": {**APP, "locationId": "europe-west"}}, "REGION=europe-west1"),
        (
            "firestore databases describe",
            {"answer": {"type": "FIRESTORE_NATIVE"}},
            "gcloud firestore databases update --database='(default)' --type=datastore-mode",
        ),
        (
            "tasks queues list",
            {"answer": [{"name": "projects/p/locations/l/queues/mails", "state": "RUNNING"}]},
            "OTHER_QUEUES=pause",
        ),
    ],
)
def test_what_is_missing_is_one_line_with_the_command_that_mends_it(
    deploy: Deploy, gcloud: StandIn, command: str, answer: dict[str, Any], mended_by: str
) -> None:
    gcloud.answer(command, **answer)

    done = deploy()

    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert mended_by in done.stderr
    assert not [call for call in gcloud.calls() if call[:2] == ["app", "deploy"]]


def test_queues_of_others_are_paused_only_if_one_says_so(deploy: Deploy, gcloud: StandIn) -> None:
    gcloud.answer("tasks queues list", [{"name": "projects/p/locations/l/queues/mails", "state": "RUNNING"}])

    done = deploy("--pause-other-queues")

    assert done.returncode == 0
    assert ["app", "deploy", "queue.yaml", *ALWAYS] in gcloud.calls()


@pytest.mark.parametrize("state", ["PAUSED", "DISABLED"])
def test_queues_of_others_that_stand_still_already_are_no_obstacle(
    deploy: Deploy, gcloud: StandIn, state: str
) -> None:
    gcloud.answer("tasks queues list", [{"name": "projects/p/locations/l/queues/mails", "state": state}])

    assert deploy().returncode == 0


def test_a_failed_step_stops_it_and_a_repetition_goes_on(deploy: Deploy, gcloud: StandIn) -> None:
    gcloud.answer("app deploy app.yaml", status=1, stderr="ERROR: (gcloud.app.deploy) build failed")
    failed = deploy()
    assert failed.returncode == 1
    assert "gcloud app deploy app.yaml" in failed.stderr
    assert "repeat" in failed.stderr
    assert gcloud.calls()[-1][:3] == ["app", "deploy", "app.yaml"]

    gcloud.answer("app deploy app.yaml")
    gcloud.forget_calls()
    repeated = deploy()

    assert repeated.returncode == 0
    assert gcloud.calls()[-1][:3] == ["app", "deploy", "worker.yaml"]


def test_an_application_that_is_not_there_is_created(deploy: Deploy, gcloud: StandIn) -> None:
    gcloud.answer("app describe", status=1, stderr=NO_APP)

    done = deploy()

    assert ["app", "create", "--region=us-central", *ALWAYS] in gcloud.calls()
    assert "Wait a minute and repeat" in done.stderr


@pytest.mark.parametrize(
    ("region", "location", "elsewhere"),
    [
        ("us-central1", "us-central", "us-central1"),
        ("europe-west", "europe-west", "europe-west1"),
        ("us-east1", "us-east1", "us-east1"),
    ],
)
def test_app_engine_has_names_of_its_own_for_two_regions(
    gcloud: StandIn, region: str, location: str, elsewhere: str
) -> None:
    said = gcloud.run(main, "--project", "my-project", "--region", region, "--dry-run").stdout

    assert f"gcloud app create --region={location} " in said
    assert f"--location={elsewhere} --type=datastore-mode" in said
    assert f"gcloud tasks queues list --location={elsewhere} " in said


def test_without_gcloud_it_says_where_to_get_it(deploy: Deploy, gcloud: StandIn) -> None:
    gcloud.remove()

    done = deploy()

    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert "https://cloud.google.com/sdk/docs/install" in done.stderr


@pytest.mark.parametrize(
    ("project", "region", "expected"),
    [
        ("", "us-central1", "PROJECT is ''"),
        ("my-project", "", "REGION is ''"),
        ("My_Project", "x", "PROJECT"),
    ],
)
def test_a_bad_name_is_told_with_what_was_expected(
    gcloud: StandIn, project: str, region: str, expected: str
) -> None:
    done = gcloud.run(main, "--project", project, "--region", region)

    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert expected in done.stderr


def test_the_make_target_passes_everything_on(gcloud: StandIn) -> None:
    done = subprocess.run(
        [
            "make",
            "--no-print-directory",
            "--dry-run",
            "deploy",
            "PROJECT=my-project",
            "REGION=europe-west1",
            "DRY_RUN=1",
        ],
        cwd=ROOT,
        env={**os.environ, "MAKEFLAGS": ""},
        capture_output=True,
        text=True,
        check=True,
    )

    last = shlex.split(done.stdout.splitlines()[-1])
    assert Path(last[0]).name == "python"
    assert last[1:] == ["-m", "deploy", "--project", "my-project", "--region", "europe-west1", "--dry-run"]
