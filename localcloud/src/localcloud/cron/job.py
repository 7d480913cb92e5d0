"""One entry of cron.yaml, and what became of its last run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any
from zoneinfo import ZoneInfo

from localcloud.cron.schedule import Schedule
from localcloud.cron.schedule_parser import parse_schedule
from localcloud.tasks.clock import SECOND_US
from localcloud.tasks.retry import RetryPolicy

# Real service: the most retries that cron.yaml may ask for, and how many a block without a limit gets.
# We differ: a higher job_retry_limit, which the service refuses, counts as 5.
_MOST_RETRIES = 5
# Real service: what Cloud Scheduler, which runs cron.yaml, takes where the block says nothing (RetryConfig).
_MIN_BACKOFF_SECONDS = 5.0
_MAX_BACKOFF_SECONDS = 3600.0
_MAX_DOUBLINGS = 5
NEVER_AGAIN = RetryPolicy(max_attempts=1)


@dataclass(frozen=True, slots=True)
class Job:
    """What is asked for, when, and of which service (empty: the default one)."""

    url: str
    schedule_text: str
    schedule: Schedule
    timezone: str = "UTC"
    description: str = ""
    target: str = ""
    # Real service: without retry_parameters a failed job waits for its next time.
    retry: RetryPolicy = NEVER_AGAIN
    attempt_deadline_us: int | None = None

    @property
    def service(self) -> str:
        """`target` names a service, or service:version; the version does not matter here."""
        return self.target.partition(":")[0]


@dataclass(frozen=True, slots=True)
class LastRun:
    """How a job's last run ended; `status` is None where there was no answer, and `reason` says why."""

    began_us: int
    ended_us: int
    status: int | None
    reason: str
    attempts: int

    @property
    def succeeded(self) -> bool:
        return self.status is not None and 200 <= self.status <= 299

    def as_json(self) -> dict[str, Any]:
        return asdict(self)

    @staticmethod
    def from_json(values: Mapping[str, Any]) -> LastRun:
        """The inverse of `as_json`. Raises KeyError or TypeError for anything else."""
        return LastRun(**values)


def jobs(entries: Sequence[Mapping[str, Any]]) -> list[Job]:
    """The jobs in `entries`, as cron_file.jobs_in prints them."""
    return [_job(entry) for entry in entries]


def _job(entry: Mapping[str, Any]) -> Job:
    deadline = entry["attempt_deadline_seconds"]
    return Job(
        url=entry["url"],
        schedule_text=entry["schedule"],
        schedule=parse_schedule(entry["schedule"], _zone(entry["timezone"])),
        timezone=entry["timezone"],
        description=entry["description"] or "",
        target=entry["target"] or "",
        retry=NEVER_AGAIN if entry["retry"] is None else _retry(entry["retry"]),
        attempt_deadline_us=None if deadline is None else round(deadline * SECOND_US),
    )


def _zone(name: str) -> ZoneInfo:
    """The time zone as Google's parser knows it: pytz has its own data, and the system may have none."""
    import pytz  # type: ignore[import-untyped]  # only where there are jobs

    with pytz.open_resource(name) as data:
        return ZoneInfo.from_file(data, key=name)


def _retry(values: Mapping[str, Any]) -> RetryPolicy:
    retries = values["job_retry_limit"]
    doublings = values["max_doublings"]
    low, high = values["min_backoff_seconds"], values["max_backoff_seconds"]
    return RetryPolicy(
        max_attempts=1 + min(_MOST_RETRIES, _MOST_RETRIES if retries is None else retries),
        max_retry_duration_us=round((values["job_age_limit_seconds"] or 0) * SECOND_US),
        min_backoff_us=round((_MIN_BACKOFF_SECONDS if low is None else low) * SECOND_US),
        max_backoff_us=round((_MAX_BACKOFF_SECONDS if high is None else high) * SECOND_US),
        max_doublings=_MAX_DOUBLINGS if doublings is None else doublings,
    )
