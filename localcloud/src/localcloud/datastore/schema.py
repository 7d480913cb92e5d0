"""The SQLite file: its tables, and connections to it.

Every entity has one row in `entity`: its latest version. Index rows stand in `index_row`, one per indexed
value, in the order of (scope, value, key), where a scope is a property of a kind in a partition; property ''
holds one row per entity of the kind. What a later commit replaced is kept in `past_entity` and
`past_index_row` with the span of versions in which it was true, for reads of the past; rows are appended in
the order of `until`, so pruning takes them from the front.

A version is the time of its commit in microseconds since 1970, so that a read time is a version.
"""

from __future__ import annotations

import sqlite3
import tempfile
from pathlib import Path

from localcloud.datastore.errors import BadStart

_FORMAT = 1
_APPLICATION_ID = 0x4C43_4453  # "LCDS"

_TABLES = """
CREATE TABLE partition (
    id INTEGER PRIMARY KEY, project TEXT NOT NULL, database TEXT NOT NULL, namespace TEXT NOT NULL,
    UNIQUE (project, database, namespace));
CREATE TABLE scope (
    id INTEGER PRIMARY KEY, partition INTEGER NOT NULL, kind TEXT NOT NULL, property TEXT NOT NULL,
    UNIQUE (partition, kind, property));
CREATE TABLE entity (
    key BLOB PRIMARY KEY, version INTEGER NOT NULL, created INTEGER NOT NULL, digest BLOB NOT NULL,
    data BLOB NOT NULL);
CREATE TABLE index_row (
    scope INTEGER NOT NULL, value BLOB NOT NULL, key BLOB NOT NULL, several INTEGER NOT NULL,
    since INTEGER NOT NULL, PRIMARY KEY (scope, value, key)) WITHOUT ROWID;
CREATE TABLE past_entity (
    id INTEGER PRIMARY KEY, key BLOB NOT NULL, since INTEGER NOT NULL, until INTEGER NOT NULL,
    created INTEGER NOT NULL, data BLOB NOT NULL);
CREATE INDEX past_entity_key ON past_entity (key, until);
CREATE TABLE past_index_row (
    id INTEGER PRIMARY KEY, scope INTEGER NOT NULL, value BLOB NOT NULL, key BLOB NOT NULL,
    several INTEGER NOT NULL, since INTEGER NOT NULL, until INTEGER NOT NULL);
CREATE INDEX past_index_row_scope ON past_index_row (scope, value, key, until);
CREATE TABLE reserved_id (partition INTEGER NOT NULL, path BLOB NOT NULL, id INTEGER NOT NULL,
    PRIMARY KEY (partition, path, id)) WITHOUT ROWID;
CREATE TABLE latest (id INTEGER PRIMARY KEY CHECK (id = 1), version INTEGER NOT NULL);
INSERT INTO latest VALUES (1, 0);
"""


def create(connection: sqlite3.Connection, path: Path) -> None:
    """Make the tables if they are not there. Raises BadStart for any other file, or sqlite3.Error."""
    if connection.execute("PRAGMA user_version").fetchone()[0] == 0:
        if connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0]:
            raise BadStart(f"{path} is another program's database. Name a new file, or one of ours.")
        connection.executescript(
            f"BEGIN IMMEDIATE; {_TABLES} PRAGMA application_id = {_APPLICATION_ID};"
            f" PRAGMA user_version = {_FORMAT}; COMMIT"
        )
    written_by = connection.execute("PRAGMA application_id").fetchone()[0]
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if written_by != _APPLICATION_ID or version != _FORMAT:
        raise BadStart(f"{path} is not a database of this version of localcloud.datastore. Name a new file.")


def connect(path: Path) -> sqlite3.Connection:
    """A connection that commits only when told to, shared by threads that take turns.

    `synchronous=NORMAL` in WAL mode: what is committed survives the death of this process at any moment, and
    the machine's as far as the last checkpoint.
    """
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=30.0)
    try:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute("PRAGMA temp_store = MEMORY")
        connection.execute("PRAGMA cache_size = -8000")
        # A thread of its own does the checkpoints, so that no commit waits for one.
        connection.execute("PRAGMA wal_autocheckpoint = 0")
    except BaseException:
        connection.close()
        raise
    return connection


def temporary_folder() -> tempfile.TemporaryDirectory[str]:
    """Where a server without a data file keeps its own: in memory, if this system has a folder there."""
    shared_memory = Path("/dev/shm")  # noqa: S108
    return tempfile.TemporaryDirectory(
        prefix="localcloud-datastore-", dir=shared_memory if shared_memory.is_dir() else None
    )
