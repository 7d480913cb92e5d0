"""A guest is welcomed once, however often the form is sent or the task delivered."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from urllib.error import HTTPError
from urllib.parse import urlencode
from urllib.request import Request, urlopen

import pytest
from localcloud.testing import LocalCloud

from deploy.smoke import smoke
from guests.settings import GuestSettings
from guests.tasks import TASKS, Guest, WelcomeGuest
from pushtasks.database import Database
from pushtasks.delivery import Outcome
from pushtasks.testing import perform
from pushtasks.worker import Worker

ROOT = Path(__file__).parent.parent
FILES = ("app.yaml", "worker.yaml", "queue.yaml", "index.yaml")


@pytest.fixture
def worker(database: Database, settings: GuestSettings) -> Worker:
    return Worker(settings, TASKS)


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalCloud]:
    with LocalCloud(FILES, root=ROOT, data=tmp_path_factory.mktemp("data")) as cloud:
        yield cloud


def test_a_task_delivered_twice_counts_one_visit(worker: Worker, database: Database, name: str) -> None:
    assert perform(worker, WelcomeGuest, {"guest": name}) is Outcome.APPLIED

    with database.context():
        [guest] = database.get([Guest(id=name).key])
    assert guest.visits == 1


def test_what_is_no_guest_is_kept_for_a_person(worker: Worker) -> None:
    assert perform(worker, WelcomeGuest, {"guest": ""}) is Outcome.REJECTED


def test_a_form_sent_twice_welcomes_once(cloud: LocalCloud) -> None:
    said: list[str] = []

    smoke(cloud.url + "/", said.append, wait_s=60)

    assert said[-1] == "Sent twice, welcomed once."


def test_a_name_that_nobody_can_have_is_refused(cloud: LocalCloud) -> None:
    with pytest.raises(HTTPError) as refused:
        urlopen(cloud.url + "/", urlencode({"guest": " "}).encode(), timeout=30)

    with refused.value as answer:
        assert answer.code == 400


def test_the_dashboard_shows_the_kind_and_its_queue(cloud: LocalCloud) -> None:
    smoke(cloud.url + "/", lambda sentence: None, wait_s=60)
    request = Request(cloud.url + "/admin", headers={"Cookie": cloud.sign_in()})

    with urlopen(request, timeout=30) as answer:
        page = answer.read().decode()

    assert "welcome-guest" in page
    assert "guests" in page
