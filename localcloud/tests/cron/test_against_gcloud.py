"""The same schedules as the development server's in gcloud: what they accept, and when they run."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from localcloud.cron.schedule_parser import parse_schedule

SDK = Path("/usr/lib/google-cloud-sdk/platform/google_appengine")
# A package of the SDK that the package of the parsers does not have.
_ASK = """\
import json, sys, types
from datetime import UTC, datetime
import pytz
import google.appengine
sdk = sys.argv[1]
sys.path.insert(0, sdk + "/lib/py3_antlr3")
package = types.ModuleType("google.appengine.cron")
package.__path__ = [sdk + "/google/appengine/cron"]
sys.modules["google.appengine.cron"] = package
from google.appengine.cron import groctimespecification

def runs(schedule, zone, start):
    try:
        parsed = groctimespecification.GrocTimeSpecification(schedule, zone)
    except Exception:
        return None
    moment = datetime.fromtimestamp(start, pytz.utc)
    return [round(run.timestamp()) for run in parsed.GetMatches(moment, 8)]

print(json.dumps([runs(*case) for case in json.load(sys.stdin)]))
"""
ZONES = ("UTC", "America/New_York", "Europe/Berlin", "Australia/Lord_Howe", "Asia/Kolkata")
WEEKDAYS = ["sun", "mon", "tue", "wed", "thu", "fri", "sat", "sunday", "monday", "tuesday", "wednesday"]
MONTHS = ["jan", "february", "march", "apr", "may", "june", "jul", "aug", "sep", "oct", "nov", "december"]
ORDINALS = ["1st", "2nd", "third", "4th", "5th", "first", "second", "fourth", "fifth"]
WORDS = ["every", "5", "hours", "mins", "day", "mon", "of", "month", "quarter", "9:00", "24:00", "from"]
WORDS += ["to", "on", "1st", "synchronized", ",", "30", "feb", "x"]


def some(dice: random.Random, words: list[str]) -> str:
    return ",".join(dice.sample(words, dice.randint(1, 3)))


def a_time(dice: random.Random) -> str:
    if dice.random() < 0.5:
        return f"{dice.randint(0, 23)}:{dice.randint(0, 59):02d}"
    return f"0{dice.randint(1, 3)}:{dice.choice(['00', '15', '30'])}"  # where the clocks change


def a_schedule(dice: random.Random) -> str:
    time = a_time(dice)
    days = f"{dice.choice(['every', some(dice, ORDINALS)])} {dice.choice(['day', some(dice, WEEKDAYS)])}"
    of_quarter = f"{some(dice, ['first', '2nd', 'third'])} month of quarter"
    months = dice.choice(["month", "quarter", some(dice, MONTHS), of_quarter])
    numbers = ",".join(str(dice.randint(1, 31)) for _ in range(dice.randint(1, 3)))
    return dice.choice(
        [
            f"every {dice.choice([1, 2, 5, 7, 90, 1440])} {dice.choice(['mins', 'minutes'])}",
            f"every {dice.choice([1, 2, 5, 12, 24, 36])} hours",
            f"every {dice.choice([5, 7, 13, 30, 100])} minutes from {time} to {a_time(dice)}",
            f"every {dice.choice([1, 2, 3, 5, 12, 24])} hours synchronized",
            f"{days} {time}",
            f"{days} of {months} {time}",
            f"{numbers} of {months} {time}",
            " ".join(dice.sample(WORDS, dice.randint(2, 6))),
        ]
    )


def our_runs(schedule: str, zone: str, start: int) -> list[int] | None:
    try:
        parsed = parse_schedule(schedule, ZoneInfo(zone))
    except ValueError:
        return None
    found = []
    moment = datetime.fromtimestamp(start, UTC)
    for _ in range(8):
        moment = parsed.after(moment)
        found.append(round(moment.timestamp()))
    return found


@pytest.mark.skipif(not SDK.is_dir(), reason="gcloud's development server is not installed")
def test_schedules_mean_what_they_mean_to_gcloud() -> None:
    dice = random.Random(20260304)
    first = datetime(2026, 1, 1, tzinfo=UTC)
    cases = [
        (
            a_schedule(dice),
            dice.choice(ZONES),
            int((first + timedelta(minutes=dice.randrange(370 * 24 * 60))).timestamp()),
        )
        for _ in range(1500)
    ]
    asked = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", _ASK, str(SDK)],
        input=json.dumps(cases),
        capture_output=True,
        text=True,
        check=True,
        timeout=100,
    )
    theirs = json.loads(asked.stdout)
    # pytz, which they use, knows no daylight saving after 2037.
    end = datetime(2037, 1, 1, tzinfo=UTC).timestamp()
    for case, expected in zip(cases, theirs, strict=True):
        ours = our_runs(*case)
        if expected is None or ours is None:
            assert ours == expected, case
        else:
            both = [pair for pair in zip(ours, expected, strict=True) if pair[1] < end]
            assert [one for one, _ in both] == [other for _, other in both], case
    assert sum(one is not None for one in theirs) > 1000
