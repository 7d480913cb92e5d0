"""Logs: lines with names on the terminal, bounded files on disk."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from localcloud.supervisor.logs import Console, LineSplitter, LogFile


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


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
    log = LogFile(tmp_path / "logs" / "web.log", max_bytes=100)
    for number in range(50):
        log.write(b"line %02d\n" % number)
    log.close()
    sizes = [file.stat().st_size for file in sorted((tmp_path / "logs").iterdir())]
    assert len(sizes) == 2
    assert all(size <= 108 for size in sizes)
    assert "line 49" in (tmp_path / "logs" / "web.log").read_text()


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
