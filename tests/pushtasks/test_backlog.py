"""The sampled backlog: one sample a minute, six hours of them, queues that exist."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from pushtasks import backlog
from pushtasks.backlog import Backlog
from pushtasks.database import Database
from pushtasks.queue_control import QueueFigures
from tests.conftest import StandingClock


@pytest.fixture(autouse=True)
def _own_entity(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setattr(backlog, "_ID", name)


def _queue(clock: StandingClock, waiting: int, name: str = "q-0") -> QueueFigures:
    due = clock.now - timedelta(seconds=90)
    return QueueFigures(name, "running", 500.0, 100, 64, waiting, due, 0, 0, 500.0, None)


def _sampled(database: Database, queues: list[QueueFigures] | None, listing: None, now: datetime) -> Backlog:
    [stored] = database.get([backlog.key()])
    return backlog.sampled(database, stored, queues, listing, now)


def test_each_minute_is_sampled_once_by_whoever_looks_first(database: Database, clock: StandingClock) -> None:
    with database.context():
        _sampled(database, [_queue(clock, 3)], None, clock.now)
        clock.advance(seconds=20)
        _sampled(database, [_queue(clock, 99)], None, clock.now)
        clock.advance(minutes=2)
        found = _sampled(database, [_queue(clock, 7)], None, clock.now)

    assert [(each.waiting, each.oldest_wait_s) for each in found["q-0"]] == [(3, 90), (7, 90)]
    assert found["q-0"][1].at - found["q-0"][0].at == timedelta(minutes=2)


def test_what_cloud_tasks_does_not_answer_is_not_sampled(database: Database, clock: StandingClock) -> None:
    with database.context():
        assert _sampled(database, None, None, clock.now) == {}
        assert database.get([backlog.key()]) == [None]


def test_old_samples_and_queues_that_are_gone_are_dropped(database: Database, clock: StandingClock) -> None:
    with database.context():
        old = replace(_queue(clock, 1), name="gone")
        _sampled(database, [old], None, clock.now)
        for _ in range(backlog.MOST_SAMPLES + 5):
            clock.advance(minutes=1)
            found = _sampled(database, [_queue(clock, 1)], None, clock.now)
        [entity] = database.get([backlog.key()])

    assert set(found) == {"q-0"}
    assert len(found["q-0"]) == backlog.MOST_SAMPLES
    assert len(entity.samples) < 5000
