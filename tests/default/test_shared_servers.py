"""What a test does to the servers that it shares is nothing to the next one, however it ends."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]

# Three tests on the application's own fixtures: one leaves what never ends, one fails, one looks.
NEIGHBOURS = """\
from localcloud.tasks.control import main as control

def at(tasks, *command):
    assert control([*command, "--address", tasks.address, "--project", "test-project"]) == 0

def test_leaves_a_paused_queue_and_a_task_that_is_tried_for_ever(tasks, default, failing_task):
    at(tasks, "pause", "counter-updates-2")
    for number in range(20):
        default.post_json(f"/api/counters/c{number}/increments", {"amount": 1})

def test_fails_with_another(tasks, failing_task):
    at(tasks, "pause", "counter-updates-1")
    raise AssertionError("on purpose")

def test_finds_nothing_of_it(tasks, capsys):
    tasks.wait_idle(5)
    at(tasks, "list")
    assert "PAUSED" not in capsys.readouterr().out
"""


def test_what_a_test_leaves_behind_and_how_it_ends_are_nothing_to_the_next(tmp_path: Path) -> None:
    (tmp_path / "test_neighbours.py").write_text(NEIGHBOURS)
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    plugins = ("tests.conftest", "tests.default.conftest", "no:cacheprovider", "no:xdist")
    environ = {key: value for key, value in os.environ.items() if not key.startswith("PYTEST_")}
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            *(f"-p{name}" for name in plugins),
            "-c",
            "pytest.ini",
            "-rA",
            str(tmp_path),
        ],
        cwd=tmp_path,
        env={**environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    assert "PASSED test_neighbours.py::test_finds_nothing_of_it" in done.stdout, done.stdout
    assert "2 passed, 1 failed" in done.stdout.replace("1 failed, 2 passed", "2 passed, 1 failed")
