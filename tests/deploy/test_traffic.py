"""`make deploy STAGE=v2` brings a version without traffic; `make promote` and `rollback` move the traffic."""

from __future__ import annotations

import pytest

from deploy.traffic import main
from tests.deploy.conftest import NOT_FOUND, Deploy, StandIn

TO = ("--project", "my-project", "--version", "v2")


def moves(gcloud: StandIn) -> list[str]:
    """The services whose traffic was moved, and where."""
    return [" ".join(call[3:5]) for call in gcloud.calls() if call[:3] == ["app", "services", "set-traffic"]]


def test_a_staged_version_gets_no_traffic_and_says_what_comes_next(deploy: Deploy) -> None:
    said = deploy("--stage", "v2", "--dry-run").stdout

    for file in ("app.yaml", "worker.yaml"):
        assert f"gcloud app deploy {file} --no-promote --version=v2 " in said
    assert "--promote" not in said.replace("--no-promote", "")
    assert "make smoke URL=https://v2-dot-my-project." in said
    assert "make promote PROJECT=my-project VERSION=v2" in said


def test_forward_the_worker_is_first_and_back_it_is_last(gcloud: StandIn) -> None:
    gcloud.answer("app versions describe", {"id": "v2"})

    assert gcloud.run(main, *TO).returncode == 0
    assert moves(gcloud) == ["worker --splits=v2=1", "default --splits=v2=1"]

    gcloud.forget_calls()
    assert gcloud.run(main, *TO, "--back").returncode == 0
    assert moves(gcloud) == ["default --splits=v2=1", "worker --splits=v2=1"]


def test_nothing_is_moved_if_one_service_lacks_the_version(gcloud: StandIn) -> None:
    gcloud.answer("app versions describe", {"id": "v2"})
    gcloud.answer("app versions describe v2 --service=default", status=1, stderr=NOT_FOUND)

    done = gcloud.run(main, *TO)

    assert (done.returncode, moves(gcloud)) == (1, [])
    assert "The default service has no version v2." in done.stderr


@pytest.mark.parametrize("version", ["", "V2", "v-", "ah-1", "latest", "a" * 64])
def test_a_version_that_nothing_can_have_is_refused(gcloud: StandIn, version: str) -> None:
    done = gcloud.run(main, "--project", "my-project", "--version", version)

    assert (done.returncode, gcloud.calls()) == (1, [])
    assert "Expected 1 to 63 of a-z" in done.stderr


def test_a_project_of_a_domain_has_its_own_addresses(gcloud: StandIn) -> None:
    from deploy.__main__ import main as deploy_main

    where = ("--project", "example.com:my-project", "--region", "us-central1", "--dry-run")
    said = gcloud.run(deploy_main, *where).stdout

    assert "--project=example.com:my-project" in said
    assert "serviceAccount:my-project.example.com@appspot.gserviceaccount.com" in said
    assert "https://my-project.example.com.REGION_ID.r.appspot.com/admin" in said
