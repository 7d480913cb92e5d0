"""What the tests of the application share: a real Datastore, a clock that stands still, fresh names."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import hypothesis
import pytest
from localcloud.testing import DatastoreProcess

from counters.settings import CounterSettings
from pushtasks.database import Database

PROJECT = "test-project"

# A busy machine is not a failure: what takes too long is ended by pytest's own timeout.
hypothesis.settings.register_profile("tests", deadline=None)
hypothesis.settings.load_profile("tests")


class StandingClock:
    """Says the same time until it is moved."""

    def __init__(self) -> None:
        self.now = datetime(2026, 5, 1, 12, 0, 30, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now

    def advance(self, **by: float) -> None:
        self.now += timedelta(**by)


@pytest.fixture(scope="session")
def datastore_address() -> Iterator[str]:
    """A Datastore's HOST:PORT: localcloud's own, or any other that DATASTORE_EMULATOR_HOST names."""
    given = os.environ.get("DATASTORE_EMULATOR_HOST")
    if given:
        yield given
        return
    with DatastoreProcess() as datastore:
        yield datastore.address


@pytest.fixture
def settings() -> CounterSettings:
    return CounterSettings.read({"GOOGLE_CLOUD_PROJECT": PROJECT, "GAE_ENV": "standard"})


@pytest.fixture
def database(datastore_address: str, monkeypatch: pytest.MonkeyPatch) -> Database:
    monkeypatch.setenv("DATASTORE_EMULATOR_HOST", datastore_address)
    return Database(PROJECT)


@pytest.fixture
def clock() -> StandingClock:
    return StandingClock()


@pytest.fixture
def name() -> str:
    """A name that no other test uses."""
    return "c" + secrets.token_hex(6)
