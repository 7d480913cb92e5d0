"""`make deploy ... ALERTS=me@example.com` makes what sends a mail when /health fails, once."""

from __future__ import annotations

import json
import shlex

import pytest

from deploy.alerts import policy
from tests.deploy.conftest import Deploy, StandIn

ALERTS = ("--alerts", "me@example.com")
CHANNELS, CHECKS, POLICIES = (
    "beta monitoring channels list",
    "monitoring uptime list-configs",
    "alpha monitoring policies list",
)


def made(gcloud: StandIn) -> list[str]:
    """What was created in Cloud Monitoring."""
    return [" ".join(call[:4]) for call in gcloud.calls() if "monitoring" in call and "create" in call]


def test_a_dry_run_shows_all_of_it_and_is_a_script(deploy: Deploy) -> None:
    said = deploy("--dry-run", *ALERTS).stdout
    commands = [shlex.split(line) for line in said.splitlines() if line.startswith("gcloud ")]
    [create] = [words for words in commands if words[1:5] == ["alpha", "monitoring", "policies", "create"]]

    assert "--channel-labels=email_address=me@example.com" in said
    assert "--resource-labels=host=my-project.REGION_ID.r.appspot.com,project_id=my-project" in said
    assert "--path=/health --protocol=https --period=5" in said
    assert "--notification-channels=CHANNEL" in create
    [text] = [word.partition("=")[2] for word in create if word.startswith("--policy=")]
    assert json.loads(text) == policy("/health of my-project.REGION_ID.r.appspot.com", "CHECK")


def test_without_alerts_nothing_of_it_is_done(deploy: Deploy) -> None:
    assert "monitoring" not in deploy("--dry-run").stdout


def test_what_is_there_is_not_made_again(deploy: Deploy, gcloud: StandIn) -> None:
    gcloud.answer(CHANNELS, [{"name": "projects/p/notificationChannels/1"}])
    gcloud.answer(CHECKS, [{"name": "projects/p/uptimeCheckConfigs/health-abc"}])
    gcloud.answer(POLICIES, [{"name": "projects/p/alertPolicies/2"}])

    assert deploy(*ALERTS).returncode == 0
    assert made(gcloud) == []


def test_the_policy_is_about_the_check_that_is_there(deploy: Deploy, gcloud: StandIn) -> None:
    gcloud.answer(CHANNELS, [{"name": "projects/p/notificationChannels/1"}])
    gcloud.answer(CHECKS, [{"name": "projects/p/uptimeCheckConfigs/health-abc"}])
    gcloud.answer(POLICIES, [])

    assert deploy(*ALERTS).returncode == 0
    [create] = [call for call in gcloud.calls() if "policies" in call and "create" in call]
    assert "--notification-channels=projects/p/notificationChannels/1" in create
    assert any('metric.labels.check_id=\\"health-abc\\"' in word for word in create)


@pytest.mark.parametrize("address", ["me", "a@b c", 'a"@b', "a@b,c@d"])
def test_what_is_no_address_is_refused(deploy: Deploy, gcloud: StandIn, address: str) -> None:
    done = deploy("--alerts", address)

    assert (done.returncode, gcloud.calls()) == (1, [])
    assert "Expected an e-mail address" in done.stderr
