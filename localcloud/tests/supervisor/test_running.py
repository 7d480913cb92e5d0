"""`python -m localcloud` as its user meets it: started, watched, restarted, stopped."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from localcloud.supervisor.listening import draw_address
from localcloud.supervisor.options import parse
from localcloud.supervisor.ports import is_listening
from localcloud.supervisor.state import read_state
from localcloud.testing.waiting import wait_until

from tests.supervisor.conftest import SERVICE, Run, alive

Start = Callable[..., Run]


def pids_of(run: Run) -> list[int]:
    return [
        run.process.pid,
        *(process["pid"] for process in run.state["processes"].values() if process["pid"]),
    ]


def test_the_services_run_and_their_addresses_are_printed(run: Start) -> None:
    running = run("app.yaml", "worker.yaml").wait_ready()
    assert running.get("/") == (200, "first")
    assert running.get("/", "worker") == (200, "first")
    running.wait_for("Ctrl-C stops everything.")
    port = running.state["address"].rpartition(":")[2]
    for line in (
        f"localcloud ready on 127.0.0.1:{port}",
        f"http://localhost:{port}",
        f"http://worker.localhost:{port}",
        f"http://localhost:{port}/_ah/login",
        "export DATASTORE_EMULATOR_HOST=127.0.0.1:1",
        "export CLOUD_TASKS_EMULATOR_HOST=127.0.0.1:2",
        "export GOOGLE_CLOUD_PROJECT=local-project",
    ):
        assert line in running.output


def test_a_server_that_is_elsewhere_is_used_and_said(run: Start) -> None:
    with socket.create_server(("127.0.0.1", 0)) as elsewhere:
        address = f"127.0.0.1:{elsewhere.getsockname()[1]}"
        running = run("app.yaml", DATASTORE_EMULATOR_HOST=address).wait_ready()
        assert (
            f"DATASTORE_EMULATOR_HOST is set: the server at {address} is used, and none is started.\n"
            in running.output
        )
        assert "CLOUD_TASKS_EMULATOR_HOST is set: the server at 127.0.0.1:2" in running.output
        assert "Nothing answers there now: unset the variable" in running.output
        assert running.environment()["DATASTORE_EMULATOR_HOST"] == address


def test_each_line_of_a_log_says_whose_it_is_without_colours(run: Start) -> None:
    running = run("app.yaml", "worker.yaml").wait_ready()
    running.wait_for("default  | serving on")
    running.wait_for("worker   | serving on")
    assert "\x1b" not in running.output
    log = Path(running.state["processes"]["worker"]["log"])
    assert log == running.data / "logs" / "worker.log"
    assert log.read_text().startswith("serving on")


def test_a_service_finds_the_environment_of_app_engine(run: Start) -> None:
    running = run(
        "app.yaml", "--project", "my-project", "--region", "europe-west1", "--env", "EXTRA=a=b"
    ).wait_ready()
    seen = running.environment()
    expected = {
        "GAE_ENV": "standard",
        "GAE_SERVICE": "default",
        "GAE_APPLICATION": "e~my-project",
        "GAE_RUNTIME": "python313",
        "GAE_INSTANCE": "default",
        "GAE_MEMORY_MB": "384",
        "GOOGLE_CLOUD_PROJECT": "my-project",
        "LOCATION_ID": "europe-west1",
        "DATASTORE_EMULATOR_HOST": "127.0.0.1:1",
        "CLOUD_TASKS_EMULATOR_HOST": "127.0.0.1:2",
        "PYTHONUNBUFFERED": "1",
        "FROM_FILE": "file",
        "EXTRA": "a=b",
    }
    assert {name: seen.get(name) for name in expected} == expected
    assert seen["PATH"].split(os.pathsep)[0] == str(Path(sys.executable).parent)
    assert seen["GAE_VERSION"] == seen["GAE_DEPLOYMENT_ID"]
    url = running.state["services"]["default"]["instances"][0]["url"]
    assert url == f"http://127.0.0.1:{seen['PORT']}"


def test_each_instance_is_warmed_up_before_the_start_is_announced(run: Start, tmp_path: Path) -> None:
    warmed = tmp_path / "warmed"
    running = run("app.yaml", "worker.yaml", "--instances", "worker=2", WARMED=str(warmed)).wait_ready()
    assert warmed.read_text() == "0.1.0.3\n" * 3
    assert {one["label"] for one in running.state["services"]["worker"]["instances"]} == {
        "worker-1",
        "worker-2",
    }
    assert {running.environment("worker")["GAE_INSTANCE"] for _ in range(4)} == {"worker-1", "worker-2"}


def test_a_service_that_dies_is_started_again_at_its_old_address(run: Start) -> None:
    running = run("app.yaml").wait_ready()
    before = running.state["services"]
    pid = running.pid_of("default")
    assert running.get("/die")[0] == 502
    running.wait_for("default exited with status 7; starting it again in 0.1 s.")
    assert str(running.data / "logs" / "default.log") in running.output
    assert running.get("/") == (200, "first")
    assert running.pid_of("default") != pid
    assert running.state["services"] == before
    assert running.state["processes"]["default"]["restarts"] == 1


def test_a_service_that_is_killed_is_started_again(run: Start) -> None:
    running = run("app.yaml").wait_ready()
    os.kill(running.pid_of("default"), signal.SIGKILL)
    running.wait_for("default was killed by SIGKILL; starting it again")
    assert running.get("/") == (200, "first")


def test_a_service_that_keeps_dying_is_started_after_longer_and_longer_pauses(run: Start) -> None:
    running = run("app.yaml").wait_ready()
    for pause in ("0.1", "0.2", "0.4"):
        os.kill(running.pid_of("default"), signal.SIGKILL)
        running.wait_for(f"default was killed by SIGKILL; starting it again in {pause} s.")
    assert running.get("/") == (200, "first")


def test_an_entrypoint_that_does_not_exist_is_said(run: Start, folder: Path) -> None:
    (folder / "app.yaml").write_text("runtime: python313\nentrypoint: no-such-program --port $PORT\n")
    running = run("app.yaml")
    assert running.wait_exit() == 1
    assert "default exited with status 127 before it was ready" in running.output.splitlines()[-1]
    assert "no-such-program" in running.output.splitlines()[-1]


def test_the_front_end_is_started_again_too(run: Start) -> None:
    running = run("app.yaml").wait_ready()
    pid = running.pid_of("frontend")
    os.kill(pid, signal.SIGKILL)
    running.wait_for("frontend was killed by SIGKILL")
    wait_until(lambda: running.state["processes"]["frontend"]["pid"] not in (pid, None), "a new front end")
    running.pid_of("frontend")
    assert running.get("/") == (200, "first")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_everything_with_status_0(run: Start, number: signal.Signals) -> None:
    running = run("app.yaml", "worker.yaml").wait_ready()
    pids = pids_of(running)
    began = time.monotonic()
    running.process.send_signal(number)
    assert running.wait_exit() == 0
    assert time.monotonic() - began < 8  # so long is waited for what does not stop
    assert alive(pids) == []
    assert not (running.data / "state.json").exists()
    assert "Traceback" not in running.output


def test_a_second_ctrl_c_ends_even_what_does_not_listen(run: Start, folder: Path) -> None:
    (folder / "stubborn.yaml").write_text(
        f'runtime: python313\nservice: stubborn\nentrypoint: "{sys.executable} stubborn.py"\n'
    )
    (folder / "stubborn.py").write_text(
        "import os, signal, socket\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "listener = socket.create_server(('127.0.0.1', int(os.environ['PORT'])))\n"
        "while True:\n    signal.pause()\n"
    )
    running = run("app.yaml", "stubborn.yaml").wait_ready()
    pids = pids_of(running)
    running.process.send_signal(signal.SIGINT)
    running.wait_for("Stopping ...")
    began = time.monotonic()
    running.process.send_signal(signal.SIGINT)
    assert running.wait_exit() == 0
    assert time.monotonic() - began < 8  # so long is waited for what does not stop
    assert alive(pids) == []


def test_nothing_outlives_a_supervisor_that_is_killed_and_it_can_start_again(run: Start) -> None:
    running = run("app.yaml", "worker.yaml").wait_ready()
    port = running.state["address"].rpartition(":")[2]
    pids = pids_of(running)
    running.process.kill()
    running.wait_exit()
    wait_until(lambda: not alive(pids), f"the end of {pids}")
    again = run("app.yaml", "worker.yaml", "--port", port).wait_ready()
    assert again.get("/", "worker") == (200, "first")


def test_what_a_service_has_started_ends_with_it(run: Start, folder: Path, tmp_path: Path) -> None:
    child = tmp_path / "child"
    (folder / "app.yaml").write_text(
        SERVICE.format(
            name="default", entrypoint=f"sleep 300 & echo $! > {child}; exec {sys.executable} main.py"
        )
    )
    running = run("app.yaml").wait_ready()
    pid = int(child.read_text())
    assert alive([pid]) == [pid]
    began = time.monotonic()
    running.process.send_signal(signal.SIGTERM)
    assert running.wait_exit() == 0
    assert time.monotonic() - began < 8  # so long is waited for what does not stop
    assert alive([pid]) == []


def test_what_a_service_has_started_does_not_delay_its_new_start(
    run: Start, folder: Path, tmp_path: Path
) -> None:
    child = tmp_path / "child"
    (folder / "app.yaml").write_text(
        SERVICE.format(
            name="default", entrypoint=f"sleep 300 & echo $! > {child}; exec {sys.executable} main.py"
        )
    )
    running = run("app.yaml").wait_ready()
    pid = int(child.read_text())
    os.kill(running.pid_of("default"), signal.SIGKILL)
    running.wait_for("default was killed by SIGKILL; starting it again in 0.1 s.")
    assert alive([pid]) == []
    assert running.get("/") == (200, "first")


def test_an_entrypoint_that_exits_at_once_stops_the_start_with_its_last_words(
    run: Start, folder: Path
) -> None:
    (folder / "main.py").write_text("import nothing_of_that_name\n")
    running = run("app.yaml")
    assert running.wait_exit() == 1
    last = running.output.splitlines()[-1]
    assert last.startswith(
        "localcloud: default exited with status 1 before it was ready: ModuleNotFoundError"
    )
    assert "logs/default.log" in last


def test_its_last_words_are_the_programs_own_not_gunicorns(run: Start, folder: Path) -> None:
    program = 'print("SLOTS is not a number.\\n[2026-01-01 12:00:00 +0000] [7] [ERROR] Shutting down")'
    (folder / "main.py").write_text(f"{program}\nraise SystemExit(4)\n")
    running = run("app.yaml")
    assert running.wait_exit() == 1
    last = running.output.splitlines()[-1]
    assert ": SLOTS is not a number. Its log:" in last


@pytest.mark.parametrize(("kills", "starts"), [(3, True), (4, False)])
def test_a_kill_before_it_was_ready_is_forgiven_three_times(
    run: Start, folder: Path, tmp_path: Path, kills: int, starts: bool
) -> None:
    lives = tmp_path / "lives"
    program = (folder / "main.py").read_text()
    (folder / "main.py").write_text(
        f"import os, pathlib\n"
        f"lives = pathlib.Path({str(lives)!r})\n"
        f"lives.open('a').write('.')\n"
        f"if lives.stat().st_size <= {kills}: os.kill(os.getpid(), 9)\n" + program
    )
    running = run("app.yaml")
    if starts:
        assert running.wait_ready().get("/") == (200, "first")
        assert running.state["processes"]["default"]["restarts"] == kills
    else:
        assert running.wait_exit() == 1
        assert "default was killed by SIGKILL before it was ready" in running.output.splitlines()[-1]


def test_a_warm_up_that_fails_stops_the_start_with_its_first_line(run: Start) -> None:
    running = run("app.yaml", WARMUP_STATUS="500 Broken")
    assert running.wait_exit() == 1
    last = running.output.splitlines()[-1]
    assert "default answered /_ah/warmup with 500: no database: say COUNTER_URL. Its log:" in last
    assert "Traceback" not in running.output


def test_a_changed_program_is_started_again(run: Start, folder: Path) -> None:
    running = run("app.yaml").wait_ready()
    (folder / "notes.txt").write_text("not part of the program")
    (folder / "main.py").write_text((folder / "main.py").read_text().replace('"first"', '"second"'))
    running.wait_for("main.py changed: starting default again.")
    wait_until(lambda: running.get("/")[1] == "second", "the new program")
    assert running.output.count("changed: ") == 1
    assert "starting it again in" not in running.output


def test_with_no_reload_a_changed_program_is_not(run: Start, folder: Path) -> None:
    running = run("app.yaml", "--no-reload").wait_ready()
    (folder / "main.py").write_text("print('changed: ' * 2)\n")
    running.get("/die")
    running.wait_for("changed: changed:")  # it says so itself, started again after its death
    assert "changed: starting" not in running.output


def test_a_changed_yaml_file_is_taken_over_by_service_and_front_end(run: Start, folder: Path) -> None:
    running = run("app.yaml").wait_ready()
    file = folder / "app.yaml"
    handlers = "handlers:\n- url: /env\n  script: auto\n"
    file.write_text(file.read_text().replace("FROM_FILE: file", "FROM_FILE: changed") + handlers)
    running.wait_for("app.yaml changed: starting default again.")
    wait_until(lambda: running.get("/")[0] == 404, "the new handlers")
    # A request that is with the old instance when it stops has no answer.
    wait_until(lambda: '"FROM_FILE": "changed"' in running.get("/env")[1], "the new variable")


def test_a_changed_queue_file_is_taken_over(run: Start, folder: Path) -> None:
    (folder / "queue.yaml").write_text("queue: []\n")
    running = run("app.yaml", "queue.yaml").wait_ready()
    (folder / "queue.yaml").write_text("queue:\n- name: more\n  rate: 1/s\n")
    running.wait_for("queue.yaml changed: starting default again.")


def test_a_changed_included_file_is_taken_over(run: Start, folder: Path) -> None:
    (folder / "more.yaml").write_text("env_variables: {INCLUDED: first}\n")
    with (folder / "app.yaml").open("a") as file:
        file.write("includes: [more.yaml]\n")
    running = run("app.yaml").wait_ready()
    (folder / "more.yaml").write_text(
        "env_variables: {INCLUDED: second}\nhandlers:\n- {url: /env, script: auto}\n"
    )
    running.wait_for("more.yaml changed: starting default again.")
    wait_until(lambda: running.get("/")[0] == 404, "the new handlers")
    wait_until(lambda: running.environment()["INCLUDED"] == "second", "the new variable")


def test_a_mistake_in_a_changed_yaml_file_changes_nothing(run: Start, folder: Path) -> None:
    running = run("app.yaml").wait_ready()
    (folder / "app.yaml").write_text("runtime: python313\nbogus: 1\n")
    running.wait_for("app.yaml changed, but stays without effect: app.yaml, line 2, key 'bogus'")
    assert running.get("/") == (200, "first")


def refused(run: Start, *arguments: str) -> str:
    """The one line with which the command refuses to start."""
    running = run(*arguments)
    assert running.wait_exit() == 2
    lines = running.output.splitlines()
    assert len(lines) == 1, running.output
    return lines[0]


def test_a_taken_port_is_named_with_its_holder_and_a_way_out(run: Start) -> None:
    with socket.create_server(("127.0.0.1", 0)) as holder:
        port = holder.getsockname()[1]
        line = refused(run, "app.yaml", "--port", str(port))
    assert f"port {port} on 127.0.0.1 is taken, by " in line
    assert f"(process {os.getpid()})" in line
    assert f"make run PORT={port + 1}" in line


def test_a_taken_datastore_port_is_named_too(run: Start) -> None:
    with socket.create_server(("127.0.0.1", 0)) as holder:
        port = holder.getsockname()[1]
        line = refused(run, "app.yaml", "--datastore-port", str(port))
    assert f"port {port} on 127.0.0.1 is taken" in line
    assert f"--datastore-port {port + 1}" in line


def test_an_address_that_this_machine_lacks_is_named(run: Start) -> None:
    assert "--host 203.0.113.7: this machine has no such address" in refused(
        run, "app.yaml", "--host", "203.0.113.7"
    )


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["nowhere.yaml"], "nowhere.yaml: there is no such file"),
        (["app.yaml", "app.yaml"], "the service 'default' is described by"),
        (["app.yaml", "--instances", "shop=2"], "no file describes this service; there are: default"),
        (["app.yaml", "--instances", "default=none"], "expected a whole number from 1 to 50"),
        (["app.yaml", "--port", "eighty"], "'eighty' is not a port"),
        (["app.yaml", "--project", "X"], "'X' is not a project id; expected 6 to 30 of a-z"),
        (["app.yaml", "--env", "A"], "'A': expected NAME=VALUE"),
        (["app.yaml", "--ttl", "Kind"], "'Kind': expected KIND.PROPERTY"),
        (["app.yaml", "--transaction-idle-seconds", "0"], "expected a number of seconds above 0"),
        (["app.yaml", "--faults", "none.json"], "--faults none.json: there is no such file"),
        (["app.yaml", "--bogus"], "unrecognized arguments: --bogus"),
    ],
)
def test_a_bad_option_is_one_line_and_status_2(run: Start, arguments: list[str], expected: str) -> None:
    assert expected in refused(run, *arguments)


def test_a_mistake_in_a_yaml_file_is_one_line_and_status_2(run: Start, folder: Path) -> None:
    (folder / "app.yaml").write_text("runtime: python313\nhandlers:\n- url: /(\n  script: auto\n")
    assert "app.yaml, line 3, key 'url'" in refused(run, "app.yaml")


def test_a_mistake_in_queue_yaml_is_the_tasks_process_own_line(run: Start, folder: Path) -> None:
    (folder / "queue.yaml").write_text("queue:\n- name: a\n  bogus: 1\n")
    environ = {key: value for key, value in os.environ.items() if key != "CLOUD_TASKS_EMULATOR_HOST"}
    done = subprocess.run(
        [sys.executable, "-m", "localcloud", "app.yaml", "queue.yaml", "--port", "0", "--data", "data"],
        cwd=folder,
        env={
            **environ,
            "PYTHONPATH": str(Path(__file__).parents[2] / "src"),
            "DATASTORE_EMULATOR_HOST": "127.0.0.1:1",
        },
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 2
    assert "| " not in done.stdout
    (line,) = done.stderr.splitlines()
    assert line.startswith("localcloud.tasks: ")
    assert "queue.yaml" in line
    assert "bogus" in line


def test_two_local_clouds_do_not_share_a_data_folder(run: Start) -> None:
    first = run("app.yaml").wait_ready()
    done = subprocess.run(
        [sys.executable, "-m", "localcloud", "app.yaml", "--port", "0", "--data", str(first.data)],
        cwd=first.folder,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2] / "src")},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 2
    assert f"is used by another local cloud (process {first.process.pid})" in done.stderr
    assert first.get("/") == (200, "first")


def test_help_names_every_option_with_its_default(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exited:
        parse(["--help"])
    assert exited.value.code == 0
    text = capsys.readouterr().out
    for option in ("--host", "--port", "--data", "--project", "--region", "--instances", "--datastore-port"):
        help_text = text.partition(f"\n  {option} ")[2].partition("\n  --")[0]
        assert "default" in help_text, option


def test_the_front_end_opens_its_port_when_everything_is_ready(run: Start, folder: Path) -> None:
    """Who comes early finds nobody there; who finds somebody gets an answer of the service."""
    gate = folder / "gate"
    program = (folder / "main.py").read_text()
    (folder / "main.py").write_text(
        f"import pathlib, time\nwhile not pathlib.Path({str(gate)!r}).exists(): time.sleep(0.02)\n{program}"
    )
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    running = run("app.yaml", "worker.yaml", "--port", str(port))
    wait_until(
        lambda: (
            read_state(running.data)
            and all(running.state["processes"][one]["pid"] for one in ("default", "worker"))
        ),
        "both services",
    )
    assert not running.state["ready"]
    assert not is_listening("127.0.0.1", port)
    gate.touch()
    wait_until(lambda: is_listening("127.0.0.1", port), "the front end")
    assert running.get("/", "worker") == (200, "first")
    running.wait_ready()


def test_an_instance_that_takes_its_address_from_the_entrypoint_is_out_of_a_browsers_reach(
    run: Start, folder: Path
) -> None:
    (folder / "app.yaml").write_text(SERVICE.format(name="default", entrypoint="gunicorn -b :$PORT main:app"))
    running = run("app.yaml").wait_ready()
    url = running.state["services"]["default"]["instances"][0]["url"]
    host, _, port = url.removeprefix("http://").rpartition(":")
    if host == "127.0.0.1":
        pytest.skip("this system has one loopback address")
    assert is_listening(host, int(port))
    assert not is_listening("127.0.0.1", int(port))
    assert running.get("/") == (200, "first")
    assert "past the front end" not in running.output
    (folder / "app.yaml").write_text(SERVICE.format(name="default", entrypoint=f"{sys.executable} main.py"))
    running.wait_for("app.yaml changed where default listens: stop and start to follow.")


def test_an_entrypoint_that_chooses_its_address_itself_is_named(run: Start) -> None:
    running = run("app.yaml", "worker.yaml").wait_ready()
    running.wait_for("Ctrl-C stops everything.")
    is_private = draw_address() != "127.0.0.1"
    line = "may reach default, worker past the front end: the entrypoint does not say where to listen."
    assert (line in running.output) == is_private
