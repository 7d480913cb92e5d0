"""A data file that is gone, emptied, damaged or without its log is named, and never taken for a new one."""

from __future__ import annotations

import shutil
import sqlite3
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

import grpc
import pytest
from localcloud.data_file import DataFile, DataFileError
from localcloud.datastore import DatastoreServer
from localcloud.datastore import messages as m
from localcloud.datastore.errors import BadStart
from localcloud.testing import DatastoreProcess, TasksProcess
from localcloud.testing.errors import LocalCloudError
from localcloud.testing.servers import ServerProcess
from localcloud.testing.waiting import wait_until

from tests.datastore.api import PROJECT, Api, key, upsert


@pytest.fixture(params=["datastore", "tasks"])
def server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[ServerProcess]:
    """Each of the two that keep data."""
    folder = tmp_path / "data"
    if request.param == "datastore":
        found: ServerProcess = DatastoreProcess(folder)
    else:
        queues = tmp_path / "queue.yaml"
        queues.write_text("queue:\n- name: q\n  rate: 5/s\n")
        found = TasksProcess(queues, {}, folder=folder)
    with found:
        yield found


def data_of(server: ServerProcess) -> Path:
    return server.folder / f"{server.name}.sqlite3"


def log_of(path: Path) -> Path:
    return path.with_name(f"{path.name}-wal")


def mark_of(path: Path) -> Path:
    return path.with_suffix(".used")


def refusal(server: ServerProcess) -> str:
    """The one line with which a start is refused."""
    said = len(server.log())
    with pytest.raises(LocalCloudError, match="exited with 2"):
        server.start()
    (line,) = server.log()[said:].splitlines()
    assert line.startswith(f"localcloud.{server.name}: ")
    return line


def remove(path: Path) -> None:
    path.unlink()


def empty(path: Path) -> None:
    path.write_bytes(b"")


def replace(path: Path) -> None:
    copy = path.with_name("copy")
    shutil.copy(path, copy)
    copy.replace(path)


def overwrite(path: Path) -> None:
    with path.open("r+b") as file:
        file.write(b"?" * 100)


class Store:
    """The least that keeps data in a file: facts, one after the other."""

    def __init__(self, path: Path) -> None:
        self.told: list[str] = []
        self._file = DataFile(path, self.told.append)
        self.connection = sqlite3.connect(path, isolation_level=None)
        self.connection.execute("PRAGMA journal_mode = WAL")
        self.connection.execute("CREATE TABLE IF NOT EXISTS fact (id INTEGER PRIMARY KEY)")
        self._file.use(self.connection)

    def add(self) -> None:
        self.connection.execute("INSERT INTO fact DEFAULT VALUES")
        self._file.check()

    def count(self) -> int:
        found: int = self.connection.execute("SELECT count(*) FROM fact").fetchone()[0]
        return found

    def close(self) -> None:
        self._file.finish(self.connection)
        self.connection.close()
        self._file.release()


def killed(path: Path, folder: Path) -> Path:
    """What SIGKILL would leave of the folder that the file is in."""
    shutil.copytree(path.parent, folder)
    return folder / path.name


@pytest.fixture
def path(tmp_path: Path) -> Path:
    folder = tmp_path / "live"
    folder.mkdir()
    return folder / "facts.sqlite3"


@pytest.fixture
def store(path: Path) -> Iterator[Store]:
    """In use, with one fact."""
    found = Store(path)
    found.add()
    yield found
    found.close()


@pytest.mark.parametrize(("harm", "words"), [(remove, "is missing"), (empty, "is empty")])
def test_a_used_file_is_missed_and_removing_what_is_named_starts_over(
    store: Store, path: Path, tmp_path: Path, harm: Callable[[Path], None], words: str
) -> None:
    left = killed(path, tmp_path / "killed")
    store.close()
    for found, is_log_left in ((left, True), (killed(path, tmp_path / "closed"), False)):
        harm(found)
        for _ in range(2):
            with pytest.raises(DataFileError) as refused:
                Store(found)
            line = str(refused.value)
            assert f"{found} {words}" in line
            assert str(mark_of(found)) in line
            assert (str(log_of(found)) in line) is is_log_left
        mark_of(found).unlink()
        log_of(found).unlink(missing_ok=True)
        again = Store(found)
        assert again.count() == 0
        again.close()


@pytest.mark.parametrize(
    ("harm", "words"), [(remove, "is missing"), (empty, "is empty"), (overwrite, "is damaged")]
)
def test_a_file_that_was_not_closed_is_not_opened_without_its_log(
    store: Store, path: Path, tmp_path: Path, harm: Callable[[Path], None], words: str
) -> None:
    left = killed(path, tmp_path / "killed")
    kept = log_of(left).read_bytes()
    harm(log_of(left))
    with pytest.raises(DataFileError) as refused:
        Store(left)
    assert f"{log_of(left)} {words}: it holds the last changes to facts.sqlite3" in str(refused.value)
    log_of(left).write_bytes(kept)
    again = Store(left)
    assert again.count() == 1
    again.close()


def test_a_file_that_was_closed_needs_no_log_and_one_without_a_mark_is_taken_as_it_is(
    store: Store, path: Path
) -> None:
    store.close()
    assert not log_of(path).exists()
    mark_of(path).unlink()
    for _ in range(2):
        again = Store(path)
        assert again.count() == 1
        again.close()


@pytest.mark.parametrize(
    ("harm", "words"),
    [
        (remove, "facts.sqlite3 was removed while it was in use"),
        (empty, "facts.sqlite3 was emptied while it was in use"),
        (overwrite, "facts.sqlite3 is damaged (overwritten while it was in use)"),
        (replace, "facts.sqlite3 or its log was replaced while it was in use"),
        (lambda path: remove(log_of(path)), "facts.sqlite3-wal was removed while it was in use"),
        (lambda path: empty(log_of(path)), "facts.sqlite3-wal was emptied while it was in use"),
        (lambda path: overwrite(log_of(path)), "facts.sqlite3-wal was overwritten while it was in use"),
        (lambda path: replace(log_of(path)), "facts.sqlite3 or its log was replaced while it was in use"),
    ],
)
def test_a_file_in_use_is_missed(
    path: Path, tmp_path: Path, harm: Callable[[Path], None], words: str
) -> None:
    store = Store(path)
    store.add()
    harm(path)
    with pytest.raises(DataFileError) as lost:
        store._file.check()
    assert words in str(lost.value)
    assert store.told == [str(lost.value)]
    left = killed(path, tmp_path / "killed")
    store.close()
    # What is left is refused, too; but for a first page that is in the log as well.
    if harm is overwrite:
        again = Store(left)
        assert again.count() == 1
        again.close()
    else:
        with pytest.raises(DataFileError):
            Store(left)


def test_other_users_may_read_nothing_even_of_a_file_and_folder_that_were_there(path: Path) -> None:
    path.parent.chmod(0o755)
    sqlite3.connect(path).close()
    path.touch()
    path.chmod(0o644)
    store = Store(path)
    store.add()
    names = {each.name for each in path.parent.iterdir()}
    assert names == {"facts.sqlite3", "facts.sqlite3-wal", "facts.sqlite3-shm", "facts.used"}
    assert {stat.S_IMODE(each.stat().st_mode) for each in path.parent.iterdir()} == {0o600}
    store.close()


def test_both_servers_miss_their_file_at_the_start_and_while_they_run(server: ServerProcess) -> None:
    path = data_of(server)
    assert {stat.S_IMODE(each.stat().st_mode) for each in path.parent.glob(f"{path.name}*")} == {0o600}
    said = len(server.log())
    path.unlink()
    process = server._process
    assert process is not None
    wait_until(lambda: process.poll() is not None, "the end of the server")
    assert process.returncode == 2
    (line,) = server.log()[said:].splitlines()
    assert f"localcloud.{server.name}: {path} was removed while it was in use" in line
    server.kill()
    assert f"{path} is missing" in refusal(server)


def put(address: str, name: str) -> None:
    with grpc.insecure_channel(address) as channel:
        commit = channel.unary_unary(
            "/google.datastore.v1.Datastore/Commit",
            request_serializer=m.CommitRequest.SerializeToString,
            response_deserializer=m.CommitResponse.FromString,
        )
        request = m.CommitRequest(project_id=PROJECT, mode=1, mutations=[upsert(key("Kind", name), n=1)])
        request.single_use_transaction.read_write.SetInParent()
        commit(request, timeout=20)


@pytest.mark.parametrize("which", ["file", "log"])
def test_what_is_written_to_a_file_that_was_removed_is_not_acknowledged(tmp_path: Path, which: str) -> None:
    path = tmp_path / "datastore.sqlite3"
    told: list[str] = []
    with DatastoreServer(data=path, on_lost=told.append) as server:
        put(server.address, "before")
        (path if which == "file" else log_of(path)).unlink()
        with pytest.raises(grpc.RpcError, match="was removed while it was in use") as refused:
            put(server.address, "after")
        assert refused.value.code() is grpc.StatusCode.UNAVAILABLE
    assert told


def test_damage_is_unavailable_and_no_bug_and_a_good_copy_puts_it_right(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "datastore.sqlite3"
    with DatastoreServer(data=path) as server:
        for number in range(300):
            Api(server.service).commit(upsert(key("Kind", f"{number}"), text="x" * 500))
    shutil.copy(path, tmp_path / "copy")
    pages = path.stat().st_size // 4096
    told: list[str] = []
    with DatastoreServer(data=path, on_lost=told.append) as server:
        with path.open("r+b") as file:
            for page in range(1, pages):
                file.seek(page * 4096)
                file.write(b"?" * 3000)
        with pytest.raises(grpc.RpcError, match=r"datastore.sqlite3 is damaged \(database disk") as refused:
            for number in range(300):
                put(server.address, f"{number}")
        assert refused.value.code() is grpc.StatusCode.UNAVAILABLE
        wait_until(lambda: told, "on_lost")
    assert "Traceback" not in caplog.text
    with pytest.raises(BadStart, match="is damaged"):
        DatastoreServer(data=path).start()
    shutil.copy(tmp_path / "copy", path)
    log_of(path).unlink(missing_ok=True)
    with DatastoreServer(data=path) as server:
        assert Api(server.service).get("Kind", "7") is not None


def test_an_entity_that_is_no_entity_is_damage_too(tmp_path: Path) -> None:
    path = tmp_path / "datastore.sqlite3"
    told: list[str] = []
    with DatastoreServer(data=path, on_lost=told.append) as server:
        Api(server.service).commit(upsert(key("Kind", "name"), n=1))
        with sqlite3.connect(path) as other:
            other.execute("UPDATE entity SET data = x'ffff', digest = x'00'")
        other.close()
        with pytest.raises(grpc.RpcError, match="datastore.sqlite3 is damaged"):
            put(server.address, "name")
    assert "datastore.sqlite3 is damaged" in told[0]


def test_killed_at_any_step_of_its_start_and_its_end_a_folder_can_be_used_again(
    path: Path, tmp_path: Path
) -> None:
    steps: list[Path] = []

    def note() -> None:
        """What a SIGKILL would leave here."""
        steps.append(killed(path, tmp_path / f"step-{len(steps)}"))

    for _ in range(2):
        store = Store(path)
        note()
        store.add()
        note()
        store.connection.execute("PRAGMA wal_checkpoint(RESTART)")
        note()
        store._file.finish(store.connection)
        note()
        store.connection.close()
        note()
        store._file.release()
        note()
    facts = []
    for step in steps:
        again = Store(step)
        facts.append(again.count())
        again.close()
    assert facts == [0, *[1] * 6, *[2] * 5]


def test_a_start_that_fails_leaves_the_folder_usable(tmp_path: Path) -> None:
    path = tmp_path / "data.sqlite3"
    for _ in range(2):
        file = DataFile(path)
        connection = sqlite3.connect(path, isolation_level=None)
        connection.execute("PRAGMA journal_mode = WAL")
        file.use(connection)
        # Something else fails. SQLite puts the log into the file, and removes it.
        connection.close()
        assert not log_of(path).exists()
        file.release()


def test_a_file_in_use_and_one_that_cannot_be_made_are_told(tmp_path: Path) -> None:
    path = tmp_path / "data.sqlite3"
    file = DataFile(path)
    with pytest.raises(DataFileError, match="in use by another server"):
        DataFile(path)
    file.release()
    DataFile(path).release()
    with pytest.raises(DataFileError, match="Name a file in a folder that is there"):
        DataFile(tmp_path / "nowhere" / "data.sqlite3")
