"""Jobs run at their times, by hand, again after a failure, and go on over a restart."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from localcloud.cron.job import NEVER_AGAIN, Job
from localcloud.cron.last_runs import LastRuns
from localcloud.cron.schedule_parser import parse_schedule
from localcloud.cron.scheduler import Scheduler
from localcloud.tasks.clock import SECOND_US
from localcloud.tasks.outcome import Outcome
from localcloud.tasks.retry import RetryPolicy

from tests.tasks.virtual import BROKEN, OK, VirtualClock, VirtualTimer

LIMIT_SECONDS = 600


def a_job(schedule: str, retry: RetryPolicy = NEVER_AGAIN, url: str = "/tick") -> Job:
    return Job(url, schedule, parse_schedule(schedule, ZoneInfo("UTC")), retry=retry)


class Application:
    """Answers jobs as told, and remembers when each came, in seconds since the start."""

    def __init__(self, clock: VirtualClock, outcomes: Sequence[Outcome], takes_seconds: float) -> None:
        self._clock = clock
        self._outcomes = list(outcomes)
        self._takes_us = round(takes_seconds * SECOND_US)
        self.came: list[float] = []

    def service_of(self, job: Job) -> str:
        return job.service or "default"

    def send(self, job: Job, done: Callable[[Outcome], None]) -> VirtualTimer:
        self.came.append(self._clock.elapsed_ms / 1000)
        outcome = self._outcomes.pop(0) if len(self._outcomes) > 1 else self._outcomes[0]
        return self._clock.call_at(self._clock.now_us() + self._takes_us, done, outcome)

    def deadline_us(self, job: Job) -> int:
        return LIMIT_SECONDS * SECOND_US


class World:
    """A scheduler that has just started, on a clock that stands still."""

    def __init__(
        self,
        *jobs: Job,
        outcomes: Sequence[Outcome] = (OK,),
        takes_seconds: float = 0.0,
        file: Path | None = None,
        clock: VirtualClock | None = None,
    ) -> None:
        self.clock = clock or VirtualClock()
        self.log: list[str] = []
        self.application = Application(self.clock, outcomes, takes_seconds)
        runs = LastRuns(file, jobs, self.log.append)
        self.scheduler = Scheduler(jobs, self.application, self.clock, runs, self.log.append)
        self.scheduler.start()

    def came_until(self, seconds: float) -> list[float]:
        """When jobs came, as whole minutes since the start, if `seconds` pass."""
        self.clock.advance(seconds)
        return [second / 60 for second in self.application.came]


def test_an_interval_counts_from_the_end_of_the_run_before() -> None:
    world = World(a_job("every 5 minutes"), takes_seconds=120)

    assert world.came_until(20 * 60) == [5, 12, 19]


def test_a_fixed_time_that_falls_into_the_run_before_is_left_out() -> None:
    world = World(a_job("every 5 minutes synchronized"), takes_seconds=400)

    assert world.came_until(25 * 60) == [5, 15, 25]


def test_a_failed_job_waits_for_its_next_time_unless_the_file_says_more() -> None:
    world = World(a_job("every 10 minutes"), outcomes=[BROKEN])

    assert world.came_until(21 * 60) == [10, 20]
    assert world.log[0] == "cron /tick attempt 1 failed: status 500"


def test_a_failed_job_is_tried_again_as_its_retry_parameters_say() -> None:
    retry = RetryPolicy(max_attempts=4, min_backoff_us=60 * SECOND_US, max_doublings=5)
    world = World(a_job("every 2 hours", retry), outcomes=[BROKEN, BROKEN, OK])

    assert world.came_until(130 * 60) == [120, 121, 123]
    last = world.scheduler.entries[0].last
    assert last is not None
    assert last.succeeded
    assert last.attempts == 3


def test_retries_end_when_the_next_run_is_due() -> None:
    retry = RetryPolicy(max_attempts=6, min_backoff_us=240 * SECOND_US, max_doublings=5)
    world = World(a_job("every 10 minutes synchronized", retry), outcomes=[BROKEN])

    assert world.came_until(29 * 60) == [10, 14, 20, 24]


def test_a_job_that_never_answers_ends_with_its_deadline() -> None:
    world = World(a_job("every 5 minutes"), takes_seconds=1e9)

    assert world.came_until(21 * 60) == [5, 20]
    last = world.scheduler.entries[0].last
    assert last is not None
    assert last.status is None
    assert "deadline" in last.reason


def test_a_job_waits_for_an_instance_that_is_just_starting() -> None:
    nobody = Outcome(None, "no connection", is_unsent=True)
    world = World(a_job("every 10 minutes"), outcomes=[nobody, nobody, OK])

    world.came_until(11 * 60)
    last = world.scheduler.entries[0].last
    assert last is not None
    assert last.succeeded
    assert last.attempts == 1


def test_a_job_without_an_instance_fails_after_ten_seconds() -> None:
    world = World(a_job("every 10 minutes"), outcomes=[Outcome(None, "no connection", is_unsent=True)])

    assert world.came_until(11 * 60)[-1] == pytest.approx(10 + 10 / 60)
    assert world.log == ["cron /tick attempt 1 failed: no connection"]


def test_a_job_runs_by_hand_but_not_twice_at_once() -> None:
    world = World(a_job("every 24 hours"), takes_seconds=5)

    assert world.scheduler.run_now(0)
    assert not world.scheduler.run_now(0)
    assert world.scheduler.as_json()[0]["is_running"]
    world.clock.advance(5)

    shown = world.scheduler.as_json()[0]
    assert not shown["is_running"]
    assert shown["last_run"]["succeeded"]
    with pytest.raises(IndexError):
        world.scheduler.run_now(1)


def test_an_interval_goes_on_over_a_restart_and_nothing_is_made_up_for(tmp_path: Path) -> None:
    file = tmp_path / "cron.json"
    job = a_job("every 2 hours")
    first = World(job, file=file)
    assert first.came_until(121 * 60) == [120]
    first.scheduler.stop()

    second = World(job, file=file, clock=first.clock)
    shown = second.scheduler.as_json()[0]
    assert shown["last_run"]["succeeded"]
    assert second.came_until(119 * 60) == [240]
    second.scheduler.stop()

    second.clock.advance(24 * 3600)
    third = World(job, a_job("every 1 hours", url="/other"), file=file, clock=first.clock)
    start = third.clock.elapsed_ms / 60_000
    assert third.came_until(121 * 60) == [start + 60, start + 120, start + 120]


def test_a_broken_file_of_last_runs_is_said_and_harms_nothing(tmp_path: Path) -> None:
    file = tmp_path / "cron.json"
    file.write_text('{"half')

    world = World(a_job("every 5 minutes"), file=file)

    assert world.came_until(5 * 60) == [5]
    assert "can't be read" in world.log[0]
