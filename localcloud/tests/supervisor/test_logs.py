"""Logs: lines with names on the terminal, bounded files on disk."""

from __future__ import annotations

import errno
import io
from pathlib import Path

import pytest
from localcloud.supervisor.logs import Console, LineSplitter, LogFile
from localcloud.supervisor.refusals import Refusals


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class FullOnce(io.StringIO):
    """Refuses the first write, as a file on a full disk."""

    is_full = True

    def write(self, text: str) -> int:
        if self.is_full:
            self.is_full = False
            raise OSError(errno.ENOSPC, "No space left on device")
        return super().write(text)


def test_names_stand_in_one_column() -> None:
    stream = io.StringIO()
    console = Console(stream, {})
    console.introduce("default")
    console.introduce("db")
    console.lines("db", ["one", "two"])
    console.lines("default", ["three"])
    assert stream.getvalue() == "db      | one\ndb      | two\ndefault | three\n"


@pytest.mark.parametrize(
    ("stream", "environ", "is_coloured"),
    [(Terminal(), {}, True), (Terminal(), {"NO_COLOR": "1"}, False), (io.StringIO(), {}, False)],
)
def test_there_are_colours_on_a_terminal_only_and_never_with_no_color(
    stream: io.StringIO, environ: dict[str, str], is_coloured: bool
) -> None:
    console = Console(stream, environ)
    console.introduce("web")
    console.lines("web", ["hello"])
    assert ("\x1b[" in stream.getvalue()) is is_coloured


def test_a_reader_that_goes_away_stops_nothing() -> None:
    stream = io.StringIO()
    console = Console(stream, {})
    stream.close()
    console.say("into the void")
    console.say("again")


def test_a_log_file_is_bounded_and_keeps_its_predecessor(tmp_path: Path) -> None:
    refused: list[Path] = []
    log = LogFile(tmp_path / "logs" / "web.log", lambda path, _: refused.append(path), max_bytes=100)
    for number in range(50):
        log.write(b"line %02d\n" % number)
    log.close()
    sizes = [file.stat().st_size for file in sorted((tmp_path / "logs").iterdir())]
    assert len(sizes) == 2
    assert all(size <= 108 for size in sizes)
    assert "line 49" in (tmp_path / "logs" / "web.log").read_text()
    assert refused == []


def test_a_log_file_on_a_full_disk_says_so_and_goes_on_when_there_is_room(tmp_path: Path) -> None:
    refused: list[int | None] = []
    file = tmp_path / "web.log"
    file.symlink_to("/dev/full")
    log = LogFile(file, lambda _, error: refused.append(error.errno))
    log.write(b"lost\n")
    log.write(b"lost, too\n")
    log.close()
    assert refused == [errno.ENOSPC, errno.ENOSPC]
    file.unlink()
    log.write(b"kept\n")
    log.close()
    assert file.read_bytes() == b"kept\n"


def test_a_log_file_that_can_not_begin_another_goes_on_with_the_old_one(tmp_path: Path) -> None:
    refused: list[int | None] = []
    file = tmp_path / "web.log"
    log = LogFile(file, lambda _, error: refused.append(error.errno), max_bytes=10)
    (tmp_path / "web.log.new").mkdir()
    for number in range(4):
        log.write(b"line %d\n" % number)
    log.close()
    assert file.read_bytes() == b"line 0\nline 1\nline 2\nline 3\n"
    assert set(refused) == {errno.EISDIR}


def test_a_terminal_file_on_a_full_disk_gets_the_next_line_when_there_is_room() -> None:
    stream = FullOnce()
    console = Console(stream, {})
    console.say("lost")
    console.say("told")
    assert stream.getvalue() == "told\n"


def test_a_folder_that_refuses_writes_is_told_once_a_minute() -> None:
    now, told = [0.0], list[str]()
    refusals = Refusals(told.append, lambda: now[0])
    for second in range(0, 125, 5):
        now[0] = second
        refusals.note(Path("logs/web.log"), OSError(errno.ENOSPC, "No space left on device"))
    assert len(told) == 3
    assert told[0].startswith("logs/web.log can't be written: No space left on device. ")


def test_lines_are_cut_out_of_any_pieces() -> None:
    got: list[str] = []
    splitter = LineSplitter(got.extend)
    for piece in (b"on", b"e\ntwo\r\nthr", b"ee", b"\n\xff\n", b"rest"):
        splitter.feed(piece)
    assert got == ["one", "two", "three", "\ufffd"]
    splitter.finish()
    assert got[-1] == "rest"


def test_an_endless_line_does_not_fill_the_memory() -> None:
    got: list[str] = []
    splitter = LineSplitter(got.extend)
    for _ in range(10):
        splitter.feed(b"x" * 20_000)
    splitter.finish()
    assert sum(map(len, got)) == 200_000
    assert max(map(len, got)) < 64_000
