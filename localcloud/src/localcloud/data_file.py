"""A store's SQLite file: claimed by one server, private to its user, and missed when it is gone.

SQLite silently creates a missing file, and takes a file without its write-ahead log (FILE-wal) as it is.
So a store that has been used leaves a mark beside its file, NAME.used, whose first word says how it was left:

- `closed`: the log was put into the file; it isn't needed, and SQLite has removed it.
- `in-use`: a server uses the file, or died. Commits may be in the log alone, so the log must be there. While
  a server runs, its log always has a header: one without was emptied.
- `damaged`: SQLite found the file malformed. The next start takes it only if a check finds no fault.
- `replaced`: another file took its place under a running server. The log that is left belongs to the old one.

What can't be detected: the loss of the mark together with the file; a log that lost its end but not its
beginning; an older copy that was put in place of the file while no server ran; a copy of the file alone in a
folder without a mark; and damage to pages that nobody reads.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from google.protobuf.message import DecodeError

_CLOSED, _IN_USE, _DAMAGED, _REPLACED = "closed", "in-use", "damaged", "replaced"
_FILE_MAGIC = b"SQLite format 3\0"
# The fourth byte is the byte order of its checksums.
_LOG_MAGIC = b"\x37\x7f\x06"
_FOR_OTHERS = 0o077
_DAMAGE = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
_REFUSALS = (
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_READONLY,
    sqlite3.SQLITE_PERM,
    sqlite3.SQLITE_NOMEM,
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_LOCKED,
)


class DataFileError(sqlite3.DatabaseError):
    """The file can't be used: one line that names it, and says what was wrong and what to do."""


@dataclass(frozen=True, slots=True)
class _Watched:
    """A file that must not be replaced: its identity, and how it begins."""

    path: Path
    descriptor: int
    identity: tuple[int, int]
    magic: bytes


class DataFile:
    """The file at `path`, kept from other servers until `release`.

    `on_lost` is called, with one line, when the file turns out to be gone or damaged while it is in use.
    """

    def __init__(self, path: Path, on_lost: Callable[[str], None] = lambda _: None) -> None:
        """Raises DataFileError if another server has it, it can't be opened, or something is missing."""
        self._path = path
        self._log = Path(f"{path}-wal")
        self._mark = path.with_suffix(".used")
        self._on_lost = on_lost
        self._watched: tuple[_Watched, ...] = ()
        # Is nothing missing so far?
        self._is_whole = False
        # Closing any descriptor of the file gives up SQLite's locks on it, so this one stays open to the end.
        self._descriptor = -1
        try:
            self._claim(os.O_RDWR)
            self._state = self._read_mark()
            self._require_all()
            self._is_whole = True
            if self._descriptor < 0:
                self._claim(os.O_RDWR | os.O_CREAT)
        except BaseException:
            self.release()
            raise

    def use(self, connection: sqlite3.Connection) -> None:
        """The tables are there, and commits begin. Raises DataFileError, sqlite3.Error or OSError."""
        if self._state == _DAMAGED and not is_sound(connection):
            raise self._damaged("its pages are malformed")
        if not _begins_with(self._log, _LOG_MAGIC):
            # A write gives it its header.
            version = connection.execute("PRAGMA user_version").fetchone()[0]
            connection.execute(f"PRAGMA user_version = {version}")
        for path in (self._path, self._log, Path(f"{self._path}-shm")):
            _make_private(path)
        self._watched = (
            _watch(self._path, self._descriptor, _FILE_MAGIC),
            _watch(self._log, os.open(self._log, os.O_RDONLY), _LOG_MAGIC),
        )
        self._set_mark(_IN_USE)

    def check(self, *, is_quick: bool = False) -> None:
        """Raises DataFileError unless the file and its log are those that were opened.

        `is_quick`, for each commit: doesn't look into them, and takes a few microseconds.
        """
        for watched in self._watched:
            lost = self._loss(watched, is_quick)
            if lost is not None:
                self._is_whole = False
                self._on_lost(str(lost))
                raise lost

    def blame(self, error: Exception, is_sound: Callable[[], bool]) -> DataFileError | None:
        """The error to report if `error` means that the file is lost, else None. Calls `on_lost` if it is.

        A malformed file may cause errors that nobody foresaw: then `is_sound` is asked.
        """
        lost = self.find_damage(error)
        if lost is None and not isinstance(error, sqlite3.Error) and not is_sound():
            lost = self._damaged(str(error))
        if lost is not None:
            self._on_lost(str(lost))
        return lost

    def find_damage(self, error: Exception) -> DataFileError | None:
        """The error to report if `error` itself means that the file is damaged, else None."""
        if isinstance(error, DataFileError):
            return error
        is_damaged = isinstance(error, sqlite3.Error) and _code(error) in _DAMAGE
        return self._damaged(str(error)) if is_damaged or isinstance(error, DecodeError) else None

    def finish(self, connection: sqlite3.Connection) -> None:
        """Nothing more is written: put the log into the file. The last connection is closed after this."""
        if self._state != _IN_USE:
            return
        with contextlib.suppress(sqlite3.Error, OSError):
            self.check()
            is_busy, pages, moved = connection.execute("PRAGMA wal_checkpoint(FULL)").fetchone()
            if not is_busy and pages == moved:
                # Before SQLite removes the log: a log that is missed must have been needed.
                self._set_mark(_CLOSED)

    def release(self) -> None:
        """Let other servers have it. All connections are closed."""
        if self._is_whole and self._state == _IN_USE and not self._log.exists():
            # SQLite itself has put the log into the file, at the end of a start that failed for instance.
            with contextlib.suppress(OSError):
                self._set_mark(_CLOSED)
        for watched in self._watched[1:]:
            os.close(watched.descriptor)
        self._watched = ()
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _claim(self, flags: int) -> None:
        try:
            self._descriptor = os.open(self._path, flags | os.O_CLOEXEC, 0o600)
        except FileNotFoundError as error:
            if flags & os.O_CREAT:
                raise DataFileError(
                    f"cannot make {self._path}: {error.strerror}. Name a file in a folder that is there."
                ) from None
            return
        except OSError as error:
            raise DataFileError(
                f"cannot open {self._path}: {error.strerror}. Expected a file that can be read and written."
            ) from None
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise DataFileError(
                f"{self._path} is in use by another server. Stop that one, or name another file."
            ) from None

    def _require_all(self) -> None:
        """Raises DataFileError if the file or its log should be there, and isn't."""
        size, log_size = _size(self._path), _size(self._log)
        if not size:
            if self._state or log_size:
                raise self._missing_file("is missing" if size is None else "is empty")
        elif self._state == _IN_USE and not _begins_with(self._log, _LOG_MAGIC):
            raise self._missing_log(
                "is missing" if log_size is None else "is damaged" if log_size else "is empty"
            )
        elif self._state == _REPLACED and log_size:
            raise self._replaced()

    def _loss(self, watched: _Watched, is_quick: bool) -> DataFileError | None:
        is_log = watched.path is self._log
        missing = self._missing_log if is_log else self._missing_file
        try:
            found = watched.path.stat()
        except OSError:
            return missing("was removed while it was in use")
        if (found.st_dev, found.st_ino) != watched.identity:
            self._try_mark(_REPLACED)
            return self._replaced()
        if not found.st_size:
            return missing("was emptied while it was in use")
        if is_quick or os.pread(watched.descriptor, len(watched.magic), 0) == watched.magic:
            return None
        if is_log:
            return missing("was overwritten while it was in use")
        return self._damaged("overwritten while it was in use")

    def _missing_file(self, what: str) -> DataFileError:
        rest = " and ".join(str(each) for each in (self._mark, self._log) if each.exists())
        return DataFileError(
            f"{self._path} {what}, and this folder has been used. Put the file back; "
            f"or, to start over with an empty one, remove {rest or 'the folder'}."
        )

    def _missing_log(self, what: str) -> DataFileError:
        return DataFileError(
            f"{self._log} {what}: it holds the last changes to {self._path.name}. Put it back; "
            f"or, to go on without those changes, remove {self._mark}."
        )

    def _replaced(self) -> DataFileError:
        return DataFileError(
            f"{self._path} or its log was replaced while it was in use, so they don't belong together. "
            f"Put the right ones back and remove {self._mark}; or, to use the file alone, remove {self._log}."
        )

    def _damaged(self, why: str) -> DataFileError:
        if not self._state:
            return DataFileError(f"{self._path} is not a readable SQLite file ({why}). Name another one.")
        self._try_mark(_DAMAGED)
        return DataFileError(
            f"{self._path} is damaged ({why}). Remove {self._log.name} and put a good copy of the file in "
            f"its place; or, to start over with an empty one, remove both and {self._mark}."
        )

    def _read_mark(self) -> str:
        """How the file was left; empty if it was never used."""
        try:
            return self._mark.read_text("utf-8", "replace").partition(" ")[0]
        except FileNotFoundError:
            return ""
        except OSError as error:
            raise DataFileError(
                f"cannot read {self._mark}: {error.strerror}. It tells how {self._path.name} was left."
            ) from None

    def _set_mark(self, state: str) -> None:
        """On disk when it returns. Written over what is there, so that it needs no space on a full disk."""
        if state != self._read_mark():
            text = f"{state:<8} {self._path.name} has been used. Remove this file only to start over.\n"
            descriptor = os.open(self._mark, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                os.pwrite(descriptor, text.encode(), 0)
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
            _sync_folder(self._path.parent)
        self._state = state

    def _try_mark(self, state: str) -> None:
        """For news that must get out even if it can't be written."""
        with contextlib.suppress(OSError, DataFileError):
            self._set_mark(state)


def is_refusal(error: Exception) -> bool:
    """Did the system refuse what SQLite asked for, for instance because the disk is full?"""
    return isinstance(error, sqlite3.Error) and _code(error) in _REFUSALS


def _code(error: sqlite3.Error) -> int:
    """SQLite's primary result code; 0 for an error of Python's own module."""
    return int(getattr(error, "sqlite_errorcode", 0)) & 0xFF


def is_sound(connection: sqlite3.Connection) -> bool:
    """Is the file as SQLite writes it? Reads all of it."""
    try:
        return bool(connection.execute("PRAGMA quick_check(1)").fetchone()[0] == "ok")
    except sqlite3.Error as error:
        return _code(error) not in _DAMAGE


def _watch(path: Path, descriptor: int, magic: bytes) -> _Watched:
    found: Any = os.fstat(descriptor)
    return _Watched(path, descriptor, (found.st_dev, found.st_ino), magic)


def _size(path: Path) -> int | None:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return None


def _begins_with(path: Path, magic: bytes) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(len(magic)) == magic
    except OSError:
        return False


def _make_private(path: Path) -> None:
    """Take other users' rights to it away. SQLite's own files have the modes of the database."""
    with contextlib.suppress(OSError):
        mode = path.stat().st_mode
        if mode & _FOR_OTHERS:
            path.chmod(mode & 0o777 & ~_FOR_OTHERS)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
