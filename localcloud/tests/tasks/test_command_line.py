"""Starting badly is one line and status 2; queues are looked after from the command line."""

from __future__ import annotations

import gc
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from localcloud.tasks import TasksServer, control, files, parse_files
from localcloud.tasks.__main__ import main
from localcloud.tasks.bad_start import BadStart
from localcloud.tasks.queue_file import queue_configs

from tests.tasks.harness import Client, Handler
from tests.tasks.process import ServerProcess

GOOD = "queue:\n- name: q\n  rate: 5/s\n"


def started_badly(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """The one line that a bad start prints."""
    try:
        status = main(arguments)
    except SystemExit as stopped:
        status = int(str(stopped.code))
    told = capsys.readouterr()
    assert status == 2
    assert told.out == ""
    assert told.err.count("\n") == 1
    return told.err


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (
            "queue:\n- name: q\n  rate: 5/x\n",
            "line 3, key 'rate': '5/x' is not possible; expected a number and a unit",
        ),
        (
            "queue:\n- name: q\n  rat: 5/s\n",
            "line 3, key 'rat': there is no such key; expected one of name, rate",
        ),
        ("queue:\n- name: q\n  rate: 5/s\n  bucket_size: many\n", "line 4, key 'bucket_size'"),
        ("queue:\n- name: q/q\n  rate: 5/s\n", "line 2, key 'name'"),
        ("queue: [\n", "line 2: not YAML: expected the node content, but found '<stream end>'"),
        (f"{GOOD}  - name: q\n", "line 4: not YAML: expected <block end>, but found '-'"),
        ("queue:\n- name: 'q\n", "line 3: not YAML: found unexpected end of stream"),
        ("queue: {q: 5/s}\n", "line 1: a value of the wrong kind; expected a list of queues under 'queue'"),
        ("", "Empty queue configuration"),
        ("just words\n", "queue"),
        ("queue:\n- name: q\n", "queue 'q': rate is missing"),
        ("queue:\n- name: q\n  rate: 501/s\n", "queue 'q': rate is 501/s. Expected at most 500/s"),
        (f"{GOOD}  bucket_size: 501\n", "bucket_size is 501. Expected 1 to 500"),
        (f"{GOOD}  max_concurrent_requests: 5001\n", "max_concurrent_requests is 5001. Expected 1 to 5000"),
        (f"{GOOD}- name: q\n  rate: 1/s\n", "queue 'q': the name is there twice"),
        (f"queue:\n- name: {'q' * 101}\n  rate: 5/s\n", "101 characters"),
        ("queue:\n- name: q\n  mode: pull\n", "push queues only"),
        (
            f"{GOOD}  retry_parameters:\n    min_backoff_seconds: 5\n    max_backoff_seconds: 2\n",
            "queue 'q': Min backoff sec must not be greater",
        ),
        (f"{GOOD}  retry_parameters:\n    task_age_limit: 2x\n", "task_age_limit"),
        (f"{GOOD}  retry_parameters:\n    max_backoff_seconds: 1.0e+30\n", "max_backoff_seconds is 1e+30"),
        (f"{GOOD}  retry_parameters:\n    min_backoff_seconds: .nan\n", "min_backoff_seconds is nan"),
        (f"{GOOD}  retry_parameters:\n    task_retry_limit: -1\n", "queue 'q': Task retry limit"),
    ],
)
def test_a_mistake_in_queue_yaml_names_file_and_place(tmp_path: Path, text: str, told: str) -> None:
    path = tmp_path / "queue.yaml"
    path.write_text(text)
    # In this process: the parser's own is one of the slow things here.
    found = parse_files.main(["--queues", str(path)])
    if "error" in found:
        line = found["error"]
    else:
        with pytest.raises(BadStart) as refused:
            queue_configs(found["queues"], str(path))
        line = str(refused.value)
    assert str(path) in line
    assert told in line
    assert "\n" not in line


def test_a_mistake_in_queue_yaml_is_one_line_at_the_start(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "queue.yaml"
    path.write_text("queue:\n- name: q\n  rat: 5/s\n")
    assert f"{path}, line 3, key 'rat'" in started_badly(capsys, "--queues", str(path), "--port", "0")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--queues", "/no/such/queue.yaml"], "/no/such/queue.yaml: cannot read it: no such file"),
        (["--app", "/no/such/app.yaml"], "/no/such/app.yaml: cannot read it: no such file"),
        (["--port", "many"], "'many' is not a port"),
        (["--port", "70000"], "Expected 0 to 65535"),
        (["--target", "worker"], "--target worker: 'worker' is not the address of an instance"),
        (["--target", "worker=http://h:99999"], "not the address of an instance"),
        (["--target", "worker=https://h/"], "Expected http://HOST:PORT"),
        (["--data", "/proc/nowhere/tasks.sqlite3"], "/proc/nowhere/tasks.sqlite3"),
        (["--data", "x", "--in-memory"], "not allowed with"),
        (["--colour"], "unrecognized arguments: --colour"),
    ],
)
def test_a_mistake_on_the_command_line_is_one_line(
    capsys: pytest.CaptureFixture[str], arguments: list[str], told: str
) -> None:
    assert told in started_badly(capsys, *arguments)


def test_a_file_that_is_not_ours_is_left_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "tasks.sqlite3"
    path.write_text("a letter to a friend, long enough to be taken for a database " * 20)
    before = path.read_bytes()
    assert "file is not a database" in started_badly(capsys, "--data", str(path))
    assert path.read_bytes() == before
    gc.collect()  # Python 3.13 warns of a connection that was left open


def test_two_files_for_one_service_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("a.yaml", "b.yaml"):
        (tmp_path / name).write_text("runtime: python313\n")
    line = started_badly(capsys, "--app", str(tmp_path / "a.yaml"), "--app", str(tmp_path / "b.yaml"))
    assert "b.yaml: another file describes the service 'default'" in line


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_server_says_when_it_is_ready_and_ends_well_when_asked(
    handler: Handler, tmp_path: Path, number: signal.Signals
) -> None:
    server = ServerProcess(tmp_path, handler.url)
    host, port = server.address.split(":")
    assert server.ready_line.startswith(f"localcloud.tasks ready on {host}:{port} http {host}:")
    server.process.send_signal(number)
    assert server.terminate() == 0


def test_queues_are_paused_listed_run_and_purged_from_the_command_line(
    client: Client, server: TasksServer, queue: str, handler: Handler, capsys: pytest.CaptureFixture[str]
) -> None:
    def command(*words: str) -> str:
        assert main([*words, "--address", server.address]) == 0
        return capsys.readouterr().out

    assert "PAUSED" in command("pause", "q")
    names = [
        client.create_task(parent=queue, task={"app_engine_http_request": {}}).name.rpartition("/")[2]
        for _ in range(3)
    ]
    assert "q  " in command("list")
    assert all(name in command("list", "q") for name in names)
    assert names[0] in command("run", "q", names[0])
    handler.wait_for(1)
    command("run", queue)
    handler.wait_for(3)
    server.wait_idle()
    client.create_task(parent=queue, task={"app_engine_http_request": {}})
    command("purge", "q")
    assert command("list", "q") == ""
    assert "RUNNING" in command("resume", "q")


@pytest.mark.parametrize("command", ["list", "pause", "resume", "purge", "run"])
def test_a_command_for_a_queue_that_does_not_exist_is_one_line(
    server: TasksServer, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    assert control.main([command, "missing", "--address", server.address]) == 1
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.count("\n") == 1
    assert "Queue does not exist" in told.err
    assert "missing" in told.err


def test_a_command_without_a_server_says_where_it_looked(capsys: pytest.CaptureFixture[str]) -> None:
    assert control.main(["list", "--address", "127.0.0.1:1"]) == 1
    assert "no answer from 127.0.0.1:1" in capsys.readouterr().err


def test_a_broken_parser_process_is_told_not_dumped(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(files, "PARSER_MODULE", "localcloud.tasks.no_such_module")
    path = tmp_path / "queue.yaml"
    path.write_text(GOOD)
    with pytest.raises(BadStart, match="parser failed"):
        files.read_files(path)


def test_help_is_there_for_everything() -> None:
    for words in ([], ["pause"]):
        command = [sys.executable, "-m", "localcloud.tasks", *words, "--help"]
        assert subprocess.run(command, capture_output=True, check=True).stdout
