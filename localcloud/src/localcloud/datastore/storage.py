"""Entities and their index rows, in versions: the latest ones, and those of the last hour.

One thread writes at a time, inside `writing`; each commit is one SQLite transaction. Readers have connections
of their own and see whole commits only.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue

from localcloud.data_file import DataFile, DataFileError, is_sound
from localcloud.datastore import schema
from localcloud.datastore.catalog import Catalog
from localcloud.datastore.clock import Clock
from localcloud.datastore.errors import BadStart
from localcloud.datastore.indexing import IndexedValues, entries

_MAX_PARAMETERS = 500
_READERS = 4
_LONG_LOG_PAGES = 16_000
"""64 MB."""


@dataclass(frozen=True, slots=True)
class Row:
    """A version of an entity: when it was written and created (microseconds), and the Entity message."""

    version: int
    created: int
    digest: bytes
    data: bytes


@dataclass(frozen=True, slots=True)
class Change:
    """What a commit does to one entity. `before` or `after` is None where there is none."""

    key: bytes
    kind: str
    before: Row | None
    after: bytes | None
    values: IndexedValues
    """Of the entity afterwards."""
    values_before: IndexedValues | None
    """None: they are the same, so no index row needs to be touched."""
    digest: bytes


class Storage:
    """A database file, or, without one, a nameless one that ends with the process."""

    def __init__(
        self, path: Path | None, clock: Clock, on_lost: Callable[[str], None] = lambda _: None
    ) -> None:
        """`on_lost` is called if the file goes or breaks while it is in use. Raises BadStart."""
        temporary = schema.temporary_folder() if path is None else None
        path = path or Path(temporary.name if temporary else "") / "datastore.sqlite3"
        self._clock = clock
        self._latest_read = 0
        self.writing_mutex = threading.RLock()
        self._connections: list[sqlite3.Connection] = []
        self._readers: SimpleQueue[sqlite3.Connection] = SimpleQueue()
        self._file: DataFile | None = None
        try:
            if temporary is None:
                self._file = DataFile(path, on_lost)
            self._open(path)
        except Exception as error:
            bad_start = self._bad_start(path, error)
            self._close_all()
            raise bad_start from error
        if temporary is not None:
            # All have opened the files, which are now gone with this process, however it ends.
            temporary.cleanup()

    def _open(self, path: Path) -> None:
        self._writer = self._connect(path)
        schema.create(self._writer, path)
        if self._file is not None:
            self._file.use(self._writer)
        self.catalog = Catalog(self._writer, self.writing_mutex)
        for _ in range(_READERS):
            reader = self._connect(path)
            self.snapshot_version(reader)
            self._readers.put(reader)
        # A new database is as old as its first start: every read has a time.
        self._writer.execute("UPDATE latest SET version = ? WHERE version = 0", (self._clock(),))
        self.last_version: int = self._writer.execute("SELECT version FROM latest").fetchone()[0]

    def _connect(self, path: Path) -> sqlite3.Connection:
        connection = schema.connect(path)
        self._connections.append(connection)
        return connection

    def _bad_start(self, path: Path, error: Exception) -> Exception:
        """What kept the file from being opened, as a BadStart where it was not a bug."""
        if isinstance(error, DataFileError):
            return BadStart(str(error))
        if not isinstance(error, (sqlite3.Error, OSError)):
            return error
        lost = self._file.find_damage(error) if self._file is not None else None
        return BadStart(
            str(lost) if lost is not None else f"cannot use {path}: {error}. Is there space left?"
        )

    def check(self) -> None:
        """Raises DataFileError if the file is no longer there, or no longer the same."""
        if self._file is not None:
            self._file.check()

    def check_quickly(self) -> None:
        """The same, after each commit and before it is acknowledged; nobody need wait for it."""
        if self._file is not None:
            self._file.check(is_quick=True)

    def blame(self, error: Exception) -> DataFileError | None:
        """The error to report if `error` means that the file is lost, else None."""
        return self._file.blame(error, self._is_sound) if self._file is not None else None

    def close(self) -> None:
        """Close the file; nothing may be under way."""
        with self.writing_mutex:
            if self._file is not None:
                self._file.finish(self._writer)
            self._close_all()

    def _close_all(self) -> None:
        for connection in self._connections:
            connection.close()
        if self._file is not None:
            # Last: closing any descriptor of a file gives up SQLite's locks on it.
            self._file.release()

    # Reading

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """A connection that sees one state of the database until the end of the block."""
        with self._reader() as connection:
            connection.execute("BEGIN")
            try:
                yield connection
            finally:
                # An error of the disk has ended it already.
                if connection.in_transaction:
                    connection.execute("ROLLBACK")

    def read(self, keys: Sequence[bytes]) -> dict[bytes, Row]:
        """The latest versions of those entities that are there."""
        with self._reader() if len(keys) <= _MAX_PARAMETERS else self.reading() as connection:
            return _read(connection, keys)

    def read_at(self, keys: Sequence[bytes], version: int) -> dict[bytes, Row]:
        """The entities as they were at a version of the past."""
        with self.reading() as connection:
            found = {key: row for key, row in _read(connection, keys).items() if row.version <= version}
            for key in keys:
                if key not in found:
                    past = read_past(connection, key, version)
                    if past is not None:
                        found[key] = past
        return found

    def snapshot_version(self, connection: sqlite3.Connection) -> int:
        """The version that a reading connection sees."""
        return int(connection.execute("SELECT version FROM latest").fetchone()[0])

    def pin(self, version: int) -> None:
        """No later commit gets this version or an older one, so that a read at it stays repeatable."""
        with self.writing_mutex:
            self._latest_read = max(self._latest_read, version)

    def changed_since(self, keys: Sequence[bytes], version: int) -> bool:
        """Has any of these been written, or deleted, after that version? Inside `writing`."""
        if any(row.version > version for row in _read(self._writer, keys).values()):
            return True
        return any(
            self._writer.execute(
                "SELECT 1 FROM past_entity WHERE key = ? AND until > ? LIMIT 1", (key, version)
            ).fetchone()
            for key in keys
        )

    # Writing

    def read_for_writing(self, keys: Sequence[bytes]) -> dict[bytes, Row]:
        """The latest versions, which stay the latest ones as long as `writing_mutex` is held."""
        return _read(self._writer, keys)

    def next_version(self) -> int:
        """The version, and time, of the next commit."""
        return max(self._clock(), self.last_version + 1, self._latest_read + 1)

    def write(self, changes: Sequence[Change], version: int) -> int:
        """Commit all changes, as one; the number of index rows written and removed."""
        inserted: list[tuple[bytes, int, int, bytes, bytes]] = []
        updated: list[tuple[int, bytes, bytes, bytes]] = []
        deleted: list[tuple[bytes]] = []
        replaced: list[tuple[int, bytes]] = []
        rows_added: list[tuple[int, bytes, bytes, int, int]] = []
        rows_removed: list[tuple[int, bytes, bytes]] = []
        for change in changes:
            before, after = change.before, change.after
            if before is not None:
                replaced.append((version, change.key))
            if after is None:
                if before is not None:
                    deleted.append((change.key,))
            elif before is None:
                inserted.append((change.key, version, version, change.digest, after))
            else:
                updated.append((version, change.digest, after, change.key))
            self._diff_rows(change, version, rows_added, rows_removed)
        with self._transaction() as writer:
            if replaced:
                writer.executemany(
                    "INSERT INTO past_entity (key, since, until, created, data)"
                    " SELECT key, version, ?, created, data FROM entity WHERE key = ?",
                    replaced,
                )
            if deleted:
                writer.executemany("DELETE FROM entity WHERE key = ?", deleted)
            if inserted:
                writer.executemany("INSERT INTO entity VALUES (?, ?, ?, ?, ?)", inserted)
            if updated:
                writer.executemany(
                    "UPDATE entity SET version = ?, digest = ?, data = ? WHERE key = ?", updated
                )
            if rows_removed:
                writer.executemany(
                    "INSERT INTO past_index_row (scope, value, key, several, since, until)"
                    f" SELECT scope, value, key, several, since, {version} FROM index_row"
                    " WHERE scope = ? AND value = ? AND key = ?",
                    rows_removed,
                )
                writer.executemany(
                    "DELETE FROM index_row WHERE scope = ? AND value = ? AND key = ?", rows_removed
                )
            if rows_added:
                writer.executemany("INSERT INTO index_row VALUES (?, ?, ?, ?, ?)", rows_added)
            writer.execute("UPDATE latest SET version = ?", (version,))
        self.last_version = version
        return len(rows_added) + len(rows_removed)

    def _diff_rows(
        self,
        change: Change,
        version: int,
        added: list[tuple[int, bytes, bytes, int, int]],
        removed: list[tuple[int, bytes, bytes]],
    ) -> None:
        key, kind = change.key, change.kind
        partition = int.from_bytes(key[:4], "big")
        scope = self.catalog.scope
        if (change.before is None) != (change.after is None):
            kind_scope = scope(partition, kind, "")
            if change.before is None:
                added.append((kind_scope, b"", key, 0, version))
            else:
                removed.append((kind_scope, b"", key))
        if change.values_before is None:
            return
        old = set(entries(change.values_before))
        new = set(entries(change.values))
        removed += [(scope(partition, kind, path), value, key) for path, value, _ in old - new]
        added += [
            (scope(partition, kind, path), value, key, several, version) for path, value, several in new - old
        ]

    # Ids that were reserved

    def reserve(self, ids: Sequence[tuple[int, bytes, int]]) -> None:
        """Keep ids back: partition, incomplete path and id."""
        with self.writing_mutex, self._transaction() as writer:
            writer.executemany("INSERT OR IGNORE INTO reserved_id VALUES (?, ?, ?)", ids)
        self.check_quickly()

    def is_reserved(self, partition: int, path: bytes, id_: int) -> bool:
        """Was this id, below that incomplete path, kept back?"""
        with self.writing_mutex:
            row = self._writer.execute(
                "SELECT 1 FROM reserved_id WHERE partition = ? AND path = ? AND id = ?",
                (partition, path, id_),
            ).fetchone()
        return row is not None

    # Housekeeping

    def prune(self, before: int, limit: int = 5000) -> int:
        """Forget versions that ended before a time, the oldest first; how many rows went."""
        removed = 0
        for table in ("past_entity", "past_index_row"):
            with self.writing_mutex:
                removed += self._writer.execute(
                    f"DELETE FROM {table} WHERE id IN"
                    f" (SELECT id FROM {table} ORDER BY id LIMIT ?) AND until < ?",
                    (limit, before),
                ).rowcount
        return removed

    def checkpoint(self) -> None:
        """Move what the write-ahead log holds into the file, as far as no reader is in the way."""
        with self._reader() as connection:
            _, pages, _ = connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
        if pages > _LONG_LOG_PAGES:
            # Writers that never pause never let it start over. Little is left to move now.
            with self.writing_mutex:
                self._writer.execute("PRAGMA wal_checkpoint(RESTART)").fetchone()

    def clear(self) -> None:
        """Forget everything, the past too.

        The numbers of partitions and scopes stay: a commit that is under way has them in its keys already.
        """
        with self.writing_mutex, self._transaction() as writer:
            for table in ("entity", "index_row", "past_entity", "past_index_row", "reserved_id"):
                writer.execute(f"DELETE FROM {table}")
        self.check_quickly()

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        """One SQLite transaction: when the block has ended, it is on disk; if it raises, nothing of it is.

        If an error left it open, those who read before they write would see it, and add their writes to it:
        they would acknowledge what was never committed.
        """
        writer = self._writer
        writer.execute("BEGIN IMMEDIATE")
        try:
            yield writer
            writer.execute("COMMIT")
        except BaseException:
            if writer.in_transaction:
                writer.execute("ROLLBACK")
            raise

    @contextmanager
    def _reader(self) -> Iterator[sqlite3.Connection]:
        connection = self._readers.get()
        try:
            yield connection
        finally:
            self._readers.put(connection)

    def _is_sound(self) -> bool:
        with self._reader() as connection:
            return is_sound(connection)


def read_past(connection: sqlite3.Connection, key: bytes, version: int) -> Row | None:
    """The entity as it was at that version, if it has been replaced or deleted since."""
    row = connection.execute(
        "SELECT since, created, data FROM past_entity WHERE key = ? AND until > ? AND since <= ?"
        " ORDER BY until LIMIT 1",
        (key, version, version),
    ).fetchone()
    return None if row is None else Row(row[0], row[1], b"", row[2])


def _read(connection: sqlite3.Connection, keys: Sequence[bytes]) -> dict[bytes, Row]:
    found: dict[bytes, Row] = {}
    for start in range(0, len(keys), _MAX_PARAMETERS):
        some = keys[start : start + _MAX_PARAMETERS]
        marks = ",".join("?" * len(some))
        for key, version, created, digest, data in connection.execute(
            f"SELECT key, version, created, digest, data FROM entity WHERE key IN ({marks})",
            some,
        ):
            found[key] = Row(version, created, digest, data)
    return found
