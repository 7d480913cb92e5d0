"""`python -m localcloud.datastore` as a process: its one line, its bad starts, its side port, its stop."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from localcloud.testing import DatastoreProcess

from tests.datastore.api import PROJECT
from tests.datastore.clients import datastore


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "localcloud.datastore", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], ["--data", "--in-memory"]),
        (["--in-memory", "--data", "x"], ["not allowed"]),
        (["--in-memory", "--port", "many"], ["'many'", "0 to 65535"]),
        (["--in-memory", "--concurrency", "hopeful"], ["hopeful", "optimistic"]),
        (["--in-memory", "--transaction-seconds", "-1"], ["'-1'", "seconds"]),
        (["--in-memory", "--ttl", "Kind"], ["'Kind'", "KIND.PROPERTY"]),
        (["--in-memory", "--require-indexes", "none.yaml"], ["none.yaml", "index.yaml"]),
        (["--data", "/nowhere/at/all/file"], ["/nowhere/at/all/file", "folder"]),
        (["--in-memory", "--colour"], ["--colour"]),
    ],
)
def test_a_bad_start_is_one_line_and_status_2(arguments: list[str], words: list[str]) -> None:
    done = run(*arguments)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith("localcloud.datastore: ")
    assert all(word in done.stderr for word in words)


def test_a_file_that_is_no_database_of_ours_is_left_alone(tmp_path: Path) -> None:
    file = tmp_path / "notes.txt"
    file.write_text("These are my notes, and they are longer than a header would be." * 20)
    before = file.read_bytes()
    done = run("--data", str(file), "--port", "0")
    assert done.returncode == 2
    assert "notes.txt" in done.stderr
    assert done.stderr.count("\n") == 1
    assert file.read_bytes() == before


def test_a_file_has_one_server_at_a_time(tmp_path: Path) -> None:
    with DatastoreProcess(tmp_path):
        done = run("--data", str(tmp_path / "datastore.sqlite3"), "--port", "0")
    assert done.returncode == 2
    assert "in use" in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("option", ["--port", "--http-port"])
def test_a_taken_port_is_told(option: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        number = str(taken.getsockname()[1])
        other = [] if option == "--port" else ["--port", "0"]
        done = run("--in-memory", option, number, *other)
    assert done.returncode == 2
    assert number in done.stderr
    assert done.stderr.count("\n") == 1


def http(method: str, address: str, path: str) -> Any:
    with urllib.request.urlopen(urllib.request.Request(f"http://{address}{path}", method=method)) as answer:
        return answer.read().decode()


def test_it_counts_resets_survives_a_restart_and_stops_on_a_signal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with DatastoreProcess(tmp_path) as server:
        monkeypatch.setenv("DATASTORE_EMULATOR_HOST", server.address)
        client = datastore.Client(project=PROJECT)
        kept = datastore.Entity(client.key("Kept", 1))
        kept["n"] = 1
        client.put(kept)
        client.get_multi([kept.key, client.key("Missing", 1)])
        client.delete(client.key("Missing", 1))
        list(client.query(kind="Kept").fetch())
        keys_only = client.query(kind="Kept")
        keys_only.keys_only()
        list(keys_only.fetch())
        assert http("GET", server.http_address, "/") == "Ok\n"
        counts = json.loads(http("GET", server.http_address, "/counts"))
        assert counts == {
            "reads": 4,
            "writes": 1,
            "deletes": 1,
            "small_operations": 1,
            "rpcs": {"Commit": 2, "Lookup": 1, "RunQuery": 2},
        }
        with pytest.raises(urllib.error.HTTPError, match="404"):
            http("GET", server.http_address, "/nothing")
        server.kill()
        server.start()
        assert client.get(kept.key)["n"] == 1
        assert server.stop() == 0
        server.start()
        assert client.get(kept.key)["n"] == 1
        assert http("POST", server.http_address, "/reset") == "Ok\n"
        assert client.get(kept.key) is None
        client.put(kept)
        assert client.get(kept.key) == kept
        client.close()
        assert server.log().splitlines()[0] == (
            f"localcloud.datastore ready on {server.address} http {server.http_address}"
        )
        assert len(server.log().splitlines()) == 3


def open_databases(pid: int) -> list[str]:
    """The SQLite files that a process has open, as Linux tells them."""
    links = [str(each.readlink()) for each in Path(f"/proc/{pid}/fd").iterdir()]
    return [link for link in links if "datastore.sqlite3" in link]


def test_ctrl_c_stops_it_and_nothing_stays_behind() -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "localcloud.datastore", "--in-memory", "--port", "0"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline().startswith("localcloud.datastore ready on 127.0.0.1:")
    if Path("/proc/self/fd").is_dir():
        databases = open_databases(process.pid)
        assert databases
        assert all(link.endswith("(deleted)") for link in databases), "SIGKILL would leave files behind"
    process.send_signal(signal.SIGINT)
    output, errors = process.communicate(timeout=20)
    assert (process.returncode, output, errors) == (0, "", "")
