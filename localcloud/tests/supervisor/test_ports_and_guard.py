"""Ports are free when they are handed out; nothing outlives its owner."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from localcloud.supervisor.guard import Guard, describe_exit
from localcloud.supervisor.leash import HAS_LEASHES, gated
from localcloud.supervisor.ports import FreePorts, PortTakenError, is_free, require_free
from localcloud.supervisor.state import DataFolder, FolderInUseError, read_state
from localcloud.testing.waiting import wait_until

from tests.supervisor.conftest import ROOT, alive, guards_of

HOST = "127.0.0.1"


def test_ports_are_handed_out_once_and_below_those_of_outgoing_connections() -> None:
    ports = FreePorts(HOST)
    taken = [ports.take() for _ in range(30)]
    assert len(set(taken)) == 30
    assert all(20_000 <= port < 32_000 for port in taken)


def test_a_port_that_somebody_listens_on_is_passed_over() -> None:
    ports = FreePorts(HOST)
    first = ports.take()
    ports.release(first)
    with socket.create_server((HOST, first)):
        assert not is_free(HOST, first)
        assert FreePorts(HOST).take() != first
    assert is_free(HOST, first)


def test_a_port_stays_its_takers_while_nobody_listens_on_it_until_it_is_released() -> None:
    ports = FreePorts(HOST)
    taken = ports.take()
    others = FreePorts(HOST)
    assert others.take() > taken
    ports.release(taken)
    assert FreePorts(HOST).take() == taken


def test_a_taken_port_is_refused_with_its_holder() -> None:
    with socket.create_server((HOST, 0)) as holder:
        port = holder.getsockname()[1]
        with pytest.raises(
            PortTakenError, match=rf"port {port} .* is taken, by .* \(process {os.getpid()}\)"
        ):
            require_free(HOST, port, "--port", patience_seconds=0)


def sleeper() -> subprocess.Popen[bytes]:
    return subprocess.Popen(["sleep", "300"], start_new_session=True)


def test_a_guard_kills_what_it_watches_when_it_is_dismissed() -> None:
    guard = Guard()
    watched, forgotten = sleeper(), sleeper()
    guard.watch(watched.pid)
    guard.watch(forgotten.pid)
    guard.forget(forgotten.pid)
    guard.close()
    assert watched.wait(10) == -signal.SIGKILL
    assert forgotten.poll() is None
    forgotten.kill()
    forgotten.wait()


def test_a_guard_kills_what_it_watches_when_its_owner_is_killed() -> None:
    program = (
        "import subprocess, time\n"
        "from localcloud.supervisor.guard import Guard\n"
        "guard = Guard()\n"
        "child = subprocess.Popen(['sleep', '300'], start_new_session=True)\n"
        "guard.watch(child.pid)\n"
        "print(child.pid, flush=True)\n"
        "time.sleep(300)\n"
    )
    with subprocess.Popen([sys.executable, "-c", program], cwd=ROOT, stdout=subprocess.PIPE) as owner:
        assert owner.stdout is not None
        pid = int(owner.stdout.readline())
        assert alive([pid])
        owner.kill()
    wait_until(lambda: not alive([pid]), "the end of the child")


@pytest.mark.parametrize("shells", [1, 2])
def test_a_guard_that_was_killed_is_replaced(shells: int) -> None:
    guard = Guard(shells)
    first, second = sleeper(), sleeper()
    guard.watch(first.pid)
    for shell in guards_of(os.getpid()):
        os.kill(shell, signal.SIGKILL)
    wait_until(lambda: not guards_of(os.getpid()), "the end of the guard")
    guard.renew()
    wait_until(lambda: len(guards_of(os.getpid())) == shells, "another guard")
    guard.watch(second.pid)
    guard.close()
    assert (first.wait(10), second.wait(10)) == (-signal.SIGKILL, -signal.SIGKILL)


def test_with_two_guards_one_may_be_killed_right_before_the_owner() -> None:
    """As it is where the system has no leashes."""
    program = (
        "import subprocess, time\n"
        "from localcloud.supervisor.guard import Guard\n"
        "guard = Guard(2)\n"
        "child = subprocess.Popen(['sleep', '300'], start_new_session=True)\n"
        "guard.watch(child.pid)\n"
        "print(child.pid, flush=True)\n"
        "time.sleep(300)\n"
    )
    with subprocess.Popen([sys.executable, "-c", program], cwd=ROOT, stdout=subprocess.PIPE) as owner:
        assert owner.stdout is not None
        pid = int(owner.stdout.readline())
        wait_until(lambda: len(guards_of(owner.pid)) == 2, "both guards")
        os.kill(guards_of(owner.pid)[0], signal.SIGKILL)
        owner.kill()
    wait_until(lambda: not alive([pid]), "the end of the child")


@pytest.mark.skipif(not HAS_LEASHES, reason="this system has no leashes")
def test_a_leash_ends_a_child_and_its_children_with_their_owner_without_any_guard() -> None:
    program = (
        "import subprocess, time\n"
        "from localcloud.supervisor.leash import OPEN_GATE, Leash, gated\n"
        "leash = Leash()\n"
        "command = gated(['/bin/sh', '-c', 'sleep 300 & echo $! $$; exec sleep 300'])\n"
        "child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE,\n"
        "    start_new_session=True, pass_fds=[leash.end])\n"
        "leash.tie(child.pid)\n"
        "child.stdin.write(OPEN_GATE)\n"
        "child.stdin.close()\n"
        "print(child.stdout.readline().decode(), end='', flush=True)\n"
        "time.sleep(300)\n"
    )
    with subprocess.Popen([sys.executable, "-c", program], cwd=ROOT, stdout=subprocess.PIPE) as owner:
        assert owner.stdout is not None
        pids = [int(pid) for pid in owner.stdout.readline().split()]
        assert alive(pids) == pids
        owner.kill()
    wait_until(lambda: not alive(pids), "the end of the child and its child")


def test_a_child_whose_owner_is_gone_before_it_began_does_nothing() -> None:
    done = subprocess.run(
        gated(["echo", "begun"]), stdin=subprocess.DEVNULL, capture_output=True, check=False
    )
    assert (done.returncode, done.stdout) == (1, b"")


def test_an_exit_is_told_in_words() -> None:
    assert describe_exit(3) == "exited with status 3"
    assert describe_exit(-9) == "was killed by SIGKILL"
    assert describe_exit(-99) == "was killed by signal 99"


def test_a_data_folder_has_one_user_at_a_time(tmp_path: Path) -> None:
    first = DataFolder(tmp_path / "data")
    with pytest.raises(FolderInUseError, match=rf"process {os.getpid()}"):
        DataFolder(tmp_path / "data")
    first.close()
    DataFolder(tmp_path / "data").close()


def test_the_state_is_replaced_as_a_whole(tmp_path: Path) -> None:
    folder = DataFolder(tmp_path)
    assert read_state(tmp_path) is None
    folder.publish({"pid": 1})
    folder.publish({"pid": 2})
    assert read_state(tmp_path) == {"pid": 2}
    folder.close()
    assert read_state(tmp_path) is None
