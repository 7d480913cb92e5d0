"""Runs the jobs of cron.yaml at their times, and by hand."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Protocol

from localcloud.cron.job import Job, LastRun
from localcloud.cron.last_runs import LastRuns
from localcloud.tasks.clock import SECOND_US, Clock, Timer
from localcloud.tasks.outcome import DEADLINE_REASON, Outcome

# A timer of the event loop stands still while a laptop sleeps; the clock on the wall does not.
_LOOK_EVERY_US = 30 * SECOND_US
_SHOWN_RUNS = 3
# Real service: a request waits in the pending queue until an instance is there, at home as long as in the
# front end.
_PENDING_US = 10 * SECOND_US
_ASK_AGAIN_US = SECOND_US // 2


class JobSender(Protocol):
    """Carries a job's request to the application."""

    def service_of(self, job: Job) -> str:
        """The service that answers the job."""

    def send(self, job: Job, done: Callable[[Outcome], None]) -> Timer:
        """Start to send. `done` is called later, unless what is returned is cancelled."""

    def deadline_us(self, job: Job) -> int:
        """How long the application may take to answer."""


@dataclass(slots=True)
class _Run:
    """A run under way, with all its attempts."""

    began_us: int
    attempts: int = 0
    # When the attempt began for which there is no instance yet.
    pending_since_us: int | None = None
    request: Timer | None = None
    timer: Timer | None = None


@dataclass(slots=True)
class Entry:
    """A job and where it stands. `number` is its place in cron.yaml, from 0."""

    number: int
    job: Job
    next_us: int
    last: LastRun | None = None
    run: _Run | None = field(default=None, repr=False)


class Scheduler:
    """All jobs of one cron.yaml. `entries` is in the file's order."""

    def __init__(
        self,
        jobs: Sequence[Job],
        sender: JobSender,
        clock: Clock,
        last_runs: LastRuns,
        write_log: Callable[[str], None],
    ) -> None:
        self._sender = sender
        self._clock = clock
        self._last_runs = last_runs
        self._write_log = write_log
        self._timer: Timer | None = None
        self._is_running = False
        now_us = clock.now_us()
        self.entries = [
            Entry(number, job, _first_run(job, last_runs.of(job), now_us), last_runs.of(job))
            for number, job in enumerate(jobs)
        ]

    def start(self) -> None:
        """Begin to run jobs."""
        self._is_running = True
        self._plan()

    def stop(self) -> None:
        """Run nothing more; what is under way is cut off, and counts as not run."""
        self._is_running = False
        if self._timer is not None:
            self._timer.cancel()
        for entry in self.entries:
            if entry.run is not None:
                _cancel(entry.run)
                entry.run = None

    def run_now(self, number: int) -> bool:
        """Start a run by hand; its schedule goes on as after any other run. False: one is under way already.

        Raises IndexError for a number that no job has.
        """
        if not 0 <= number < len(self.entries):
            raise IndexError(number)
        entry = self.entries[number]
        if entry.run is not None:
            return False
        self._begin(entry)
        return True

    def as_json(self) -> list[dict[str, Any]]:
        """Every job with its state; times as RFC 3339 in UTC."""
        return [self._describe(entry) for entry in self.entries]

    def _describe(self, entry: Entry) -> dict[str, Any]:
        job, last = entry.job, entry.last
        return {
            "id": entry.number,
            "url": job.url,
            "description": job.description,
            "schedule": job.schedule_text,
            "timezone": job.timezone,
            "target": job.target,
            "service": self._sender.service_of(job),
            "next_run": _shown(entry.next_us),
            "next_runs": [_shown(when_us) for when_us in _next_runs(job, entry.next_us)],
            "is_running": entry.run is not None,
            "last_run": None
            if last is None
            else {
                "began": _shown(last.began_us),
                "ended": _shown(last.ended_us),
                "status": last.status,
                "reason": last.reason,
                "attempts": last.attempts,
                "succeeded": last.succeeded,
            },
        }

    def _plan(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        waiting = [entry.next_us for entry in self.entries if entry.run is None]
        if waiting and self._is_running:
            when_us = min(min(waiting), self._clock.now_us() + _LOOK_EVERY_US)
            self._timer = self._clock.call_at(when_us, self._look)

    def _look(self) -> None:
        now_us = self._clock.now_us()
        for entry in self.entries:
            # Real service: a run that falls into the one before is left out (cron.yaml reference).
            if entry.run is None and entry.next_us <= now_us:
                self._begin(entry)
        self._plan()

    def _begin(self, entry: Entry) -> None:
        entry.run = _Run(began_us=self._clock.now_us())
        # The run after this one, for a reader; when this one has ended, it is worked out once more.
        entry.next_us = _next_us(entry.job, entry.run.began_us)
        self._attempt(entry, entry.run)

    def _attempt(self, entry: Entry, run: _Run) -> None:
        run.attempts += 1
        done = functools.partial(self._end_attempt, entry, run, run.attempts)
        deadline_us = self._clock.now_us() + self._sender.deadline_us(entry.job)
        run.request = self._sender.send(entry.job, done)
        run.timer = self._clock.call_at(deadline_us, self._pass_deadline, run, done)

    @staticmethod
    def _pass_deadline(run: _Run, done: Callable[[Outcome], None]) -> None:
        if run.request is not None:
            run.request.cancel()
        done(Outcome(None, DEADLINE_REASON))

    def _end_attempt(self, entry: Entry, run: _Run, attempt: int, outcome: Outcome) -> None:
        if entry.run is not run or run.attempts != attempt:
            return
        _cancel(run)
        now_us = self._clock.now_us()
        if outcome.is_unsent:
            run.pending_since_us = run.pending_since_us or now_us
            if now_us - run.pending_since_us < _PENDING_US:
                run.attempts -= 1
                run.timer = self._clock.call_at(now_us + _ASK_AGAIN_US, self._attempt, entry, run)
                return
        run.pending_since_us = None
        retry = entry.job.retry
        retry_us = now_us + retry.backoff_us(run.attempts)
        # Real service: retried until the limits are reached, or the next run is due (RetryConfig).
        tries_again = (
            not outcome.is_success
            and retry.may_retry(run.attempts, now_us - run.began_us)
            and retry_us < _next_us(entry.job, run.began_us)
        )
        self._log(entry.job, run, outcome, (retry_us - now_us) / SECOND_US if tries_again else None)
        if tries_again:
            run.timer = self._clock.call_at(retry_us, self._attempt, entry, run)
            return
        entry.run = None
        entry.last = LastRun(run.began_us, now_us, outcome.status, outcome.reason, run.attempts)
        entry.next_us = _next_us(entry.job, now_us)
        self._last_runs.keep(entry.job, entry.last)
        self._plan()

    def _log(self, job: Job, run: _Run, outcome: Outcome, retry_seconds: float | None) -> None:
        said = outcome.reason if outcome.status is None else f"status {outcome.status}"
        if outcome.status is not None and outcome.reason:
            said += f" ({outcome.reason})"
        follows = "" if retry_seconds is None else f"; next try in {retry_seconds:.3f} s"
        verb = "ended" if outcome.is_success else "failed"
        self._write_log(f"cron {job.url} attempt {run.attempts} {verb}: {said}{follows}")


def _cancel(run: _Run) -> None:
    for timer in (run.request, run.timer):
        if timer is not None:
            timer.cancel()
    run.request = run.timer = None


def _first_run(job: Job, last: LastRun | None, now_us: int) -> int:
    """The first run of a job after a start.

    We differ: what was due while localcloud was off is not made up for. An interval goes on from the last
    run, if that is not too long ago, else it begins with the start.
    """
    if last is not None and last.ended_us <= now_us:
        next_us = _next_us(job, last.ended_us)
        if next_us > now_us:
            return next_us
    return _next_us(job, now_us)


def _next_us(job: Job, after_us: int) -> int:
    moment = datetime.fromtimestamp(after_us // SECOND_US, UTC)
    return round(job.schedule.after(moment).timestamp()) * SECOND_US


def _next_runs(job: Job, next_us: int) -> list[int]:
    """The next three, if each takes no time."""
    runs = [next_us]
    while len(runs) < _SHOWN_RUNS:
        runs.append(_next_us(job, runs[-1]))
    return runs


def _shown(moment_us: int) -> str:
    moment = datetime.fromtimestamp(moment_us / SECOND_US, UTC)
    return moment.isoformat(timespec="seconds").replace("+00:00", "Z")
