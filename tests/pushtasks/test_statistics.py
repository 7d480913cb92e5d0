"""Statistics through the engine: rings of minutes, hours and days, written by the commits they count."""

from __future__ import annotations

import json
import secrets
from datetime import timedelta
from typing import Any

import pytest

from pushtasks import statistics
from pushtasks.delivery import Delivery
from pushtasks.entities import TaskHistory, TaskStatistics
from pushtasks.errors import Rejected
from pushtasks.ring import DAYS, HOURS, MINUTES, SPANS
from pushtasks.statistics import History
from pushtasks.tally import Tally, sum_of
from pushtasks.task import Task
from pushtasks.work import Work
from pushtasks.worker import Worker
from tests.conftest import StandingClock
from tests.pushtasks.conftest import Later, MakeWorker, delivery_of


@pytest.fixture
def kind(name: str) -> type[Task[str]]:
    class Counted(Task[str]):
        """Does as its payload says. A kind of the test's own, so that its statistics are, too."""

        queues = ("q",)

        def parse(self, delivery: Delivery) -> str:
            return str(json.loads(delivery.body))

        def apply(self, payload: str, delivery: Delivery, work: Work) -> None:
            if payload == "reject":
                raise Rejected("it", "bad", "good")
            if payload == "fail":
                raise RuntimeError("no luck")

    Counted.name = f"kind-{name}"
    return Counted


@pytest.fixture
def worker(make_worker: MakeWorker, kind: type[Task[str]]) -> Worker:
    return make_worker(kind)


def deliver(worker: Worker, kind: type[Task[str]], what: str = "apply", **about: Any) -> None:
    worker.deliver(kind.name, delivery_of(json.dumps(what).encode(), **about))


def history(worker: Worker, kind: type[Task[str]], span: str) -> History:
    with worker.database.context():
        found = statistics.read_history(worker.database, SPANS[span], worker.clock())
    return next(each for each in found if each.handler == kind.name)


def test_what_happened_shows_in_its_minute_its_hour_and_its_day(
    worker: Worker, kind: type[Task[str]], clock: StandingClock
) -> None:
    deliver(worker, kind, enqueued_at=clock.now - timedelta(milliseconds=50))
    deliver(worker, kind, retry_count=3)
    clock.advance(hours=2)
    deliver(worker, kind, "reject")
    clock.advance(days=3)
    deliver(worker, kind)

    day, week, year = (history(worker, kind, span) for span in ("day", "week", "year"))
    assert [each.tally.applied for each in history(worker, kind, "hour").moments] == [0] * 59 + [1]
    assert (len(day.moments), len(week.moments), len(year.moments)) == (24, 168, 400)
    then = week.moments[-1 - 74].tally
    assert (then.applied, then.applied_first_attempt, then.attempts, then.most_attempts) == (2, 1, 5, 4)
    assert then.latency_percentile_ms(50) == pytest.approx(50, rel=0.5)
    assert week.moments[-1 - 72].tally.rejected == 1
    assert year.moments[-4].tally.applied == 2
    assert year.moments[-1].tally.applied == 1


def test_totals_are_what_each_ring_and_what_was_before_it_add_up_to_though_the_clock_jumps(
    worker: Worker, kind: type[Task[str]], clock: StandingClock
) -> None:
    for jump_s in (0, 30, 61, -61, 7200, -3600, 10**7, -(10**7), 4 * 10**7, -(4 * 10**7), 61, 3600):
        clock.advance(seconds=jump_s)
        worker.slot.redraw()
        deliver(worker, kind, retry_count=abs(jump_s) % 5)

    totals = {MINUTES: Tally(), HOURS: Tally(), DAYS: Tally()}
    with worker.database.context():
        numbers = range(worker.settings.slots)
        entities = worker.database.get(TaskStatistics.key_of(kind.name, slot) for slot in numbers)
        histories = worker.database.get(TaskHistory.key_of(kind.name, slot) for slot in numbers)
    total = sum_of(statistics.total_of(entity) for entity in entities if entity)
    assert total.applied == 12
    for scale, summed in totals.items():
        for entity, stored in zip(entities, histories, strict=True):
            if entity is not None:
                ring = statistics.ring_of(scale, entity, stored)
                for row in (ring.before, *ring.rows.values()):
                    summed.add(Tally.of_row(row))
        assert summed == total


def test_an_ordinary_commit_touches_the_statistics_alone_and_the_history_only_after_an_hour(
    worker: Worker, kind: type[Task[str]], clock: StandingClock
) -> None:
    def stored() -> TaskHistory | None:
        with worker.database.context():
            [found] = worker.database.get([TaskHistory.key_of(kind.name, worker.slot.number)])
        return found  # type: ignore[no-any-return]

    deliver(worker, kind)
    clock.advance(minutes=5)
    deliver(worker, kind)
    assert stored() is None
    clock.advance(hours=1)
    deliver(worker, kind)
    found = stored()
    assert found is not None
    assert found.hours
    assert found.days is None


def test_failures_are_written_with_the_next_commit_and_never_among_the_attempts(
    worker: Worker, kind: type[Task[str]], clock: StandingClock
) -> None:
    name = secrets.token_hex(8)
    for retry_count in range(3):
        with pytest.raises(RuntimeError):
            deliver(worker, kind, "fail", name=name, retry_count=retry_count)
    clock.advance(minutes=4)
    deliver(worker, kind, retry_count=1)

    moments = history(worker, kind, "hour").moments
    assert (moments[-5].tally.failures, moments[-5].tally.attempts) == (3, 0)
    assert (moments[-1].tally.failures, moments[-1].tally.attempts) == (0, 2)


def test_failures_are_written_alone_if_nothing_else_is(
    worker: Worker, kind: type[Task[str]], later: Later
) -> None:
    with pytest.raises(RuntimeError):
        deliver(worker, kind, "fail")

    [(_, flush)] = later.calls
    flush()

    assert history(worker, kind, "hour").moments[-1].tally == Tally(failures=1)


def test_all_kinds_together_are_their_sum(worker: Worker, kind: type[Task[str]]) -> None:
    deliver(worker, kind)
    span = SPANS["day"]
    with worker.database.context():
        found = statistics.read_history(worker.database, span, worker.clock())

    together = statistics.over_all(found, span)

    assert together.moments[-1].tally == sum_of(each.moments[-1].tally for each in found)
    assert statistics.over_all([], span).moments == []
