"""The demonstration ends well whatever its visitor did on the dashboard."""

from __future__ import annotations

import urllib.request
from pathlib import Path

import pytest

from bench import demo


def test_a_queue_left_paused_runs_empty_and_the_sum_is_proved(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with demo.stack(tmp_path / "data") as cloud:
        visitors = demo.Visitors(cloud)
        pause = urllib.request.Request(
            f"{cloud.url}/admin/queues/counter-updates-2/pause",
            b"back=/admin",
            {"Cookie": cloud.sign_in("ada@example.com"), "Sec-Fetch-Site": "same-origin"},
        )
        with urllib.request.urlopen(pause) as answer:
            assert answer.status == 200
        visitors.send(40)
        assert visitors.resume_queues() == ["counter-updates-2"]
        cloud.wait_idle()
        assert demo.prove(cloud, visitors.book, demo.COUNTERS, (0, 0))
        visitors.book.increments += 1  # as if a task had been purged by the visitor
        assert not demo.prove(cloud, visitors.book, demo.COUNTERS, (0, 0))
    said = capsys.readouterr().out
    assert "EXACT: every increment was counted once." in said
    assert "1 of the accepted increments were not applied." in said
