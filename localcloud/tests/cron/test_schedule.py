"""When jobs run: the examples of the cron.yaml reference, time zones, and gcloud's own arithmetic."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import islice
from zoneinfo import ZoneInfo

import pytest
from localcloud.cron.schedule_parser import parse_schedule


def runs(schedule: str, start: str, count: int = 3, zone: str = "UTC") -> list[str]:
    """The first `count` runs after `start`, as `MM-DD HH:MM` in UTC."""
    moment = datetime.fromisoformat(start).replace(tzinfo=UTC)
    parsed = parse_schedule(schedule, ZoneInfo(zone))
    found = []
    for _ in islice(range(count), count):
        moment = parsed.after(moment)
        found.append(f"{moment:%m-%d %H:%M}")
    return found


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        ("every 5 minutes", ["03-04 10:05", "03-04 10:10", "03-04 10:15"]),
        ("every 12 hours", ["03-04 22:00", "03-05 10:00", "03-05 22:00"]),
        ("every 5 minutes from 10:00 to 14:00", ["03-04 10:05", "03-04 10:10", "03-04 10:15"]),
        ("every 5 hours from 20:00 to 3:00", ["03-04 20:00", "03-05 01:00", "03-05 20:00"]),
        ("every 2 hours synchronized", ["03-04 12:00", "03-04 14:00", "03-04 16:00"]),
        ("every 12 hours on mon,tue", ["03-09 10:00", "03-09 22:00", "03-10 10:00"]),
        ("every day 00:00", ["03-05 00:00", "03-06 00:00", "03-07 00:00"]),
        ("every monday 9:00", ["03-09 09:00", "03-16 09:00", "03-23 09:00"]),
        ("2nd,third mon,wed,thu of march 17:00", ["03-09 17:00", "03-11 17:00", "03-12 17:00"]),
        ("1st monday of sep,oct,nov 17:00", ["09-07 17:00", "10-05 17:00", "11-02 17:00"]),
        ("1 of jan,april,july,oct 00:00", ["04-01 00:00", "07-01 00:00", "10-01 00:00"]),
        ("1st day of month 6:30", ["04-01 06:30", "05-01 06:30", "06-01 06:30"]),
        ("first sunday of quarter 00:00", ["04-05 00:00", "07-05 00:00", "10-04 00:00"]),
        ("first mon of second month of quarter 1:00", ["05-04 01:00", "08-03 01:00", "11-02 01:00"]),
        ("31 of month 12:00", ["03-31 12:00", "05-31 12:00", "07-31 12:00"]),
        ("29 of february 12:00", ["02-29 12:00", "02-29 12:00", "02-29 12:00"]),
    ],
)
def test_a_schedule_of_the_reference_runs_when_it_says(schedule: str, expected: list[str]) -> None:
    assert runs(schedule, "2026-03-04 10:00") == expected


def test_a_time_is_one_of_the_jobs_time_zone() -> None:
    assert runs("every monday 09:00", "2026-03-04 10:00", 2, "Australia/Sydney") == [
        "03-08 22:00",
        "03-15 22:00",
    ]


def test_a_time_that_the_clocks_skip_is_left_out_and_one_that_they_repeat_runs_twice() -> None:
    assert runs("every day 02:30", "2026-03-28 00:00", 2, "Europe/Berlin") == ["03-28 01:30", "03-30 00:30"]
    assert runs("every day 02:30", "2026-10-25 00:00", 3, "Europe/Berlin") == [
        "10-25 00:30",
        "10-25 01:30",
        "10-26 01:30",
    ]


def test_an_interval_of_many_minutes_is_rounded_down_to_the_minute() -> None:
    assert runs("every 90 mins", "2026-03-04 10:00:59", 1) == ["03-04 11:30"]


@pytest.mark.parametrize(
    ("schedule", "problem"),
    [
        ("every 5 min", "'min' is not understood"),
        ("every 0 minutes", "an interval of 0 never ends"),
        ("every 7 hours synchronized", "divides 24 hours evenly"),
        ("every monday", "the time of the day is missing"),
        ("every monday 24:00", "'24:00' is not a time"),
        ("30 of feb 10:00", "none of its months has a day 30"),
        ("every 5 minutes daily", "is too much"),
        ("0 * * * *", "'of' and a month are missing"),
        ("", "it ends too early"),
    ],
)
def test_what_is_no_schedule_is_refused_with_the_reason(schedule: str, problem: str) -> None:
    with pytest.raises(ValueError, match="expected for example") as error:
        parse_schedule(schedule, ZoneInfo("UTC"))
    assert problem in str(error.value)
