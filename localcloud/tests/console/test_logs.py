"""All processes' lines in one place, filtered."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from localcloud.console.log_lines import LogFilter, latest
from localcloud.supervisor.logs import LogFile
from localcloud.supervisor.timeline import TIMELINE_FILE, Timeline

from tests.console.visitor import Visitor


class Ticks:
    """A clock that goes on by a millisecond each time it is read."""

    def __init__(self) -> None:
        self.seconds = 1_777_636_800.0

    def __call__(self) -> float:
        self.seconds += 0.001
        return self.seconds


def fail(path: Path, error: OSError) -> None:
    raise error


@pytest.fixture
def timeline(data: Path) -> Iterator[Timeline]:
    timeline = Timeline(LogFile(data / "logs" / TIMELINE_FILE, fail), Ticks())
    yield timeline
    timeline.close()


def texts(data: Path, most: int = 200, **wanted: str) -> list[str]:
    return [line.text for line in latest(data / "logs", LogFilter(**wanted), most)]


def test_lines_of_all_services_come_in_their_order(timeline: Timeline, data: Path) -> None:
    timeline.add("default", ["one", "two"])
    timeline.add("worker", ["three"])
    timeline.say("worker exited with status 1")

    assert texts(data) == ["one", "two", "three", "worker exited with status 1"]
    assert texts(data, service="worker") == ["three"]
    assert texts(data, service="localcloud") == ["worker exited with status 1"]
    assert texts(data, most=2) == ["three", "worker exited with status 1"]


@pytest.mark.parametrize(
    ("text", "level"),
    [
        ("E Something failed task=abc", "ERROR"),
        ("W0501 12:00:00.000000 1 file.cc:1] careful", "WARNING"),
        ("[2026-05-01 12:00:00 +0000] [7] [CRITICAL] WORKER TIMEOUT", "CRITICAL"),
        ("ERROR:root:no", "ERROR"),
        (json.dumps({"severity": "WARNING", "message": "INFO is a word"}), "WARNING"),
        ("counter-updates-0/abc attempt 1 failed: status 500; next try in 0.1 s", "WARNING"),
        ("counter-updates-0/abc attempt 9 failed: status 500; GIVEN UP, the task is deleted", "ERROR"),
        ("hello", "INFO"),
        ("Deleting everything", "INFO"),
    ],
)
def test_a_lines_level_is_read_from_it(timeline: Timeline, data: Path, text: str, level: str) -> None:
    timeline.add("tasks", [text])

    assert [line.level for line in latest(data / "logs", LogFilter(), 10)] == [level]


def test_a_traceback_stays_whole_and_counts_as_an_error(timeline: Timeline, data: Path) -> None:
    timeline.add("worker", ["I fine", "Traceback (most recent call last):", '  File "a.py", line 1, in f'])
    timeline.add("default", ["I in between"])
    timeline.add("worker", ["    raise ValueError(1)", "ValueError: 1", "I fine again"])

    assert texts(data, level="ERROR") == [
        "Traceback (most recent call last):",
        '  File "a.py", line 1, in f',
        "    raise ValueError(1)",
        "ValueError: 1",
    ]
    assert "ValueError: 1" in texts(data, text="RAISE")


def test_json_lines_show_their_message_and_lead_to_task_and_trace(timeline: Timeline, data: Path) -> None:
    line = {
        "severity": "INFO",
        "message": "Task applied",
        "logging.googleapis.com/trace": "projects/p/traces/0123456789abcdef",
        "task": "d86f22547a51",
    }
    timeline.add("worker", [json.dumps(line), "I other"])

    (found,) = latest(data / "logs", LogFilter(trace="0123456789abcdef"), 10)

    assert (found.text, found.trace, found.task) == (
        "Task applied task=d86f22547a51",
        "0123456789abcdef",
        "d86f22547a51",
    )
    assert texts(data, task="d86f22547a51") == ["Task applied task=d86f22547a51"]


def test_the_file_before_is_read_too_and_all_is_bounded(data: Path) -> None:
    path = data / "logs" / TIMELINE_FILE
    timeline = Timeline(LogFile(path, fail, max_bytes=10_000), Ticks())
    for number in range(500):
        timeline.add("default", [f"line {number}"])
    timeline.close()

    found = texts(data, most=1000)

    assert found[-1] == "line 499"
    assert found == [f"line {number}" for number in range(500 - len(found), 500)]
    assert path.stat().st_size + path.with_name(f"{TIMELINE_FILE}.1").stat().st_size < 21_000


def test_the_page_filters_by_its_address_and_says_what_is_missing(
    visitor: Visitor, timeline: Timeline
) -> None:
    assert "Nothing has been printed yet." in visitor.get("/logs").text
    timeline.add("default", ["I <b>hello</b> task=abcdef", "E broken"])

    page = visitor.get("/logs", level="ERROR")
    assert "broken" in page.text
    assert "hello" not in page.text
    assert "No line that is kept passes these filters." in visitor.get("/logs", text="nothing like it").text
    fragment = visitor.get("/logs/lines", text="hello")
    assert "&lt;b&gt;hello&lt;/b&gt;" in fragment.text
    assert "<html" not in fragment.text
    assert fragment.links["task"] == "/logs?task=abcdef"


def test_ten_megabytes_are_searched_for_one_line(timeline: Timeline, data: Path) -> None:
    timeline.add("default", ["Traceback (most recent call last):", "  the Needle"])
    for _ in range(60):
        timeline.add("worker", [f"I line of hay number {number}" for number in range(1000)])
    timeline.add("worker", ['{"severity": "error", "message": "small letters"}'])

    assert texts(data, text="needle") == ["Traceback (most recent call last):", "  the Needle"]
    assert texts(data, level="ERROR")[-1] == "small letters"
    assert len(texts(data, level="ERROR")) == 3
