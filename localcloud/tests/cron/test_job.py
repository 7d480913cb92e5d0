"""What cron.yaml says becomes jobs, on any system."""

from __future__ import annotations

import zoneinfo
from datetime import UTC, datetime
from pathlib import Path

import pytest
from localcloud.configuration import ConfigurationError
from localcloud.cron.cron_file import jobs_in
from localcloud.cron.job import NEVER_AGAIN, Job, jobs
from localcloud.tasks.clock import SECOND_US

# As public repositories have them.
PUBLIC = """\
cron:
- description: "schedule hourly processing"
  url: /schedule
  schedule: every 1 hours
  retry_parameters:
    job_retry_limit: 2
    min_backoff_seconds: 2.5
    max_backoff_seconds: 10
    max_doublings: 3
- description: popular users
  url: /cron/popular
  schedule: every day 00:00
  timezone: US/Eastern
- url: /harvest?q=golang
  schedule: every 1 hours from 00:15 to 23:59
  target: beta:v2
  retry_parameters: {}
  attempt_deadline: 90s
- url: /stop
  schedule: every mon,tue,wed,thu,fri 18:00
"""


@pytest.fixture
def parsed(tmp_path: Path) -> list[Job]:
    (tmp_path / "cron.yaml").write_text(PUBLIC)
    return jobs(jobs_in(tmp_path / "cron.yaml"))


def test_retry_parameters_have_the_defaults_of_cloud_scheduler(parsed: list[Job]) -> None:
    written, _, empty, without = (job.retry for job in parsed)
    assert (written.max_attempts, written.min_backoff_us, written.max_backoff_us, written.max_doublings) == (
        3,
        2_500_000,
        10_000_000,
        3,
    )
    assert (empty.max_attempts, empty.min_backoff_us, empty.max_backoff_us, empty.max_doublings) == (
        6,
        5_000_000,
        3_600_000_000,
        5,
    )
    assert without is NEVER_AGAIN


def test_a_target_is_a_service_and_a_deadline_microseconds(parsed: list[Job]) -> None:
    assert [job.service for job in parsed] == ["", "", "beta", ""]
    assert parsed[2].attempt_deadline_us == 90 * SECOND_US


def test_time_zones_need_no_data_of_the_system(tmp_path: Path) -> None:
    before = zoneinfo.TZPATH
    zoneinfo.reset_tzpath(to=[])
    try:
        (tmp_path / "cron.yaml").write_text(PUBLIC)
        popular = jobs(jobs_in(tmp_path / "cron.yaml"))[1]
    finally:
        zoneinfo.reset_tzpath(to=before)
    run = popular.schedule.after(datetime(2026, 7, 1, 12, tzinfo=UTC))
    assert run == datetime(2026, 7, 2, 4, tzinfo=UTC)


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        (
            "every 1 hours\n",
            "every 1 hour\n",
            "cron.yaml, line 4, key 'schedule': 'every 1 hour': 'hour' is not understood",
        ),
        ("US/Eastern", "US/Atlantis", "line 13, key 'timezone': 'US/Atlantis' is not possible"),
        ("- url: /stop", "- uri: /stop", "line 19, key 'uri': there is no such key; expected one of url"),
        ("  schedule: every day 00:00\n", "", "Missing required value [schedule]"),
        ("cron:", "queue:", "key 'queue': there is no such key; expected one of cron"),
        (PUBLIC, "{}", "the key 'cron' is missing"),
    ],
)
def test_a_mistake_in_the_file_is_one_line_that_names_it(
    tmp_path: Path, old: str, new: str, complaint: str
) -> None:
    (tmp_path / "cron.yaml").write_text(PUBLIC.replace(old, new))
    with pytest.raises(ConfigurationError) as error:
        jobs_in(tmp_path / "cron.yaml")
    assert complaint in str(error.value)
    assert "\n" not in str(error.value)
