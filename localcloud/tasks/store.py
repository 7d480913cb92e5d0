"""The tasks on disk: an SQLite file that holds what must survive the process, written in groups.

All that happens within one turn of the event loop is written in one transaction. A task is acknowledged after
that; a finished task is deleted a moment later, together with others: dying in between, the server delivers
it again, as an at-least-once queue may.
"""

import asyncio
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from localcloud.tasks.bad_start import BadStart
from localcloud.tasks.clock import Clock
from localcloud.tasks.messages import Task
from localcloud.tasks.queue import Queue
from localcloud.tasks.queue_config import from_json, to_json
from localcloud.tasks.task import LiveTask, attempts_in, describe_attempts

SCHEMA_VERSION = 2
SCHEMA = """
CREATE TABLE IF NOT EXISTS queues (
    number INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, config TEXT NOT NULL,
    from_file INTEGER NOT NULL, state INTEGER NOT NULL, purge_us INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS tasks (
    seq INTEGER PRIMARY KEY, queue INTEGER NOT NULL, id TEXT NOT NULL, create_us INTEGER NOT NULL,
    eta_us INTEGER NOT NULL, message BLOB NOT NULL, attempts BLOB,
    executed_count INTEGER NOT NULL DEFAULT 0);
-- The names that stay taken. Looked up on every creation, so in order of name, and not in memory.
CREATE TABLE IF NOT EXISTS tombstones (
    queue INTEGER NOT NULL, id TEXT NOT NULL, expire_us INTEGER NOT NULL, PRIMARY KEY (queue, id)) WITHOUT
    ROWID;
"""
FROM_VERSION_1 = "ALTER TABLE tasks ADD COLUMN executed_count INTEGER NOT NULL DEFAULT 0;"
# How long a deletion or a failed attempt may wait for company.
LAZY_SECONDS = 0.01
# A creation waits for nothing; unless they come so thick that together they cost less.
GROUP_SECONDS = 0.002
# How soon to try again after the disk refused to write.
RETRY_SECONDS = 1.0


class Store:
    """The store of one server. All methods belong to the thread of its event loop."""

    def __init__(self, path: Path | None, loop: asyncio.AbstractEventLoop, clock: Clock) -> None:
        """Open or create the file at `path`; None keeps everything in memory. Raises BadStart."""
        self._loop = loop
        self._clock = clock
        self._inserts: list[tuple[int, int, str, int, int, bytes]] = []
        self._updates: dict[int, LiveTask] = {}
        self._deletes: list[tuple[int]] = []
        self._tombstones: dict[tuple[int, str], int] = {}
        self._waiters: list[asyncio.Future[None]] = []
        self._flush: asyncio.Handle | None = None
        self._flush_is_lazy = False
        self._flushed_at = 0.0
        self._database = _open(path)
        self._next_seq: int = self._database.execute(
            "SELECT coalesce(max(seq), 0) + 1 FROM tasks"
        ).fetchone()[0]
        self._database.execute("DELETE FROM tombstones WHERE expire_us <= ?", (clock.now_us(),))

    def next_seq(self) -> int:
        """A number above all that were ever handed out."""
        seq = self._next_seq
        self._next_seq += 1
        return seq

    def add(self, task: LiveTask) -> None:
        """Keep a new task: from the moment that `committed` says so."""
        self._inserts.append(
            (task.seq, task.queue.number, task.id, task.create_us, task.eta_us, task.message)
        )

    def update(self, task: LiveTask) -> None:
        """Keep a task's new time and its attempts, some time soon."""
        self._updates[task.seq] = task
        self._flush_lazily()

    def remove(self, task: LiveTask) -> None:
        """Forget a task but for its name, some time soon."""
        self._deletes.append((task.seq,))
        self._updates.pop(task.seq, None)
        expire_us = self._clock.now_us() + task.queue.config.tombstone_ttl_us
        self._tombstones[task.queue.number, task.id] = expire_us
        self._flush_lazily()

    def committed(self) -> asyncio.Future[None]:
        """Done once all that was handed over until now is on disk; or fails with sqlite3.Error."""
        waiter: asyncio.Future[None] = self._loop.create_future()
        self._waiters.append(waiter)
        if self._flush is None or self._flush_is_lazy:
            if self._flush is not None:
                self._flush.cancel()
            delay_seconds = self._flushed_at + GROUP_SECONDS - self._loop.time()
            if delay_seconds > 0:
                self._flush = self._loop.call_later(delay_seconds, self.flush)
            else:
                self._flush = self._loop.call_soon(self.flush)
            self._flush_is_lazy = False
        return waiter

    def is_taken(self, queue: Queue, task_id: str) -> bool:
        """Does the name belong to a task that is gone, and not for long enough?"""
        key = (queue.number, task_id)
        if key in self._tombstones:
            return True
        found = self._database.execute(
            "SELECT expire_us FROM tombstones WHERE queue = ? AND id = ?", key
        ).fetchone()
        return found is not None and found[0] > self._clock.now_us()

    def flush(self) -> None:
        """Write all that waits, in one transaction, and answer those who wait for it.

        When the disk refuses, those who wait are told, and what no one waits for is tried again later.
        """
        if self._flush is not None:
            self._flush.cancel()
            self._flush = None
        self._flushed_at = self._loop.time()
        waiters, self._waiters = self._waiters, []
        try:
            self._write()
        except sqlite3.Error as error:
            self._database.rollback()
            self._inserts.clear()
            for waiter in waiters:
                if not waiter.done():
                    waiter.set_exception(error)
            if self._updates or self._deletes or self._tombstones:
                self._flush = self._loop.call_later(RETRY_SECONDS, self.flush)
                self._flush_is_lazy = True
            return
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)

    def save_queue(self, queue: Queue) -> None:
        """Keep a queue's settings and state, at once."""
        values = (queue.name, to_json(queue.config), queue.from_file, queue.state, queue.purge_us)
        with self._database:
            self._database.execute(
                "INSERT OR REPLACE INTO queues VALUES (?, ?, ?, ?, ?, ?)", (queue.number, *values)
            )

    def forget_queue(self, queue: Queue) -> None:
        """Remove a queue with its tasks and all the names that it knows, at once."""
        self.flush()
        with self._database:
            for table, column in (("queues", "number"), ("tasks", "queue"), ("tombstones", "queue")):
                self._database.execute(f"DELETE FROM {table} WHERE {column} = ?", (queue.number,))

    def queues(self) -> list[Queue]:
        """All queues, with the tasks in them."""
        queues: dict[int, Queue] = {}
        for number, name, config, from_file, state, purge_us in self._database.execute(
            "SELECT number, name, config, from_file, state, purge_us FROM queues"
        ):
            queue = Queue(number, name, from_json(config), from_file=bool(from_file), state=state)
            queue.purge_us = purge_us
            queues[number] = queue
        for task in self._tasks(queues):
            task.queue.add(task)
        return list(queues.values())

    def close(self) -> None:
        """Write what waits, and close the file."""
        self.flush()
        if self._flush is not None:
            self._flush.cancel()
        self._database.close()

    def _tasks(self, queues: dict[int, Queue]) -> Iterator[LiveTask]:
        rows = self._database.execute(
            "SELECT seq, queue, id, create_us, eta_us, message, attempts, executed_count"
            " FROM tasks ORDER BY seq"
        )
        for seq, number, task_id, create_us, eta_us, message, attempts, executed_count in rows:
            task = LiveTask(queues[number], seq, task_id, create_us, eta_us, message)
            if attempts is not None:
                task.attempts = attempts_in(Task.FromString(attempts), executed_count)
            yield task

    def _write(self) -> None:
        database = self._database
        database.execute("BEGIN")
        if self._inserts:
            database.executemany(
                "INSERT INTO tasks (seq, queue, id, create_us, eta_us, message) VALUES (?, ?, ?, ?, ?, ?)",
                self._inserts,
            )
        if self._updates:
            database.executemany(
                "UPDATE tasks SET eta_us = ?, attempts = ?, executed_count = ? WHERE seq = ?",
                [(task.eta_us, *_attempts_of(task), task.seq) for task in self._updates.values()],
            )
        if self._deletes:
            database.executemany("DELETE FROM tasks WHERE seq = ?", self._deletes)
        if self._tombstones:
            database.executemany(
                "INSERT OR REPLACE INTO tombstones VALUES (?, ?, ?)",
                [(number, task_id, expire_us) for (number, task_id), expire_us in self._tombstones.items()],
            )
        database.commit()
        self._inserts.clear()
        self._updates.clear()
        self._deletes.clear()
        self._tombstones.clear()

    def _flush_lazily(self) -> None:
        if self._flush is None:
            self._flush = self._loop.call_later(LAZY_SECONDS, self.flush)
            self._flush_is_lazy = True


def _attempts_of(task: LiveTask) -> tuple[bytes | None, int]:
    """What is kept of a task's attempts: what the API tells of them, and what only their headers tell."""
    if task.attempts is None:
        return None, 0
    message = Task()
    describe_attempts(task.attempts, message)
    return message.SerializeToString(), task.attempts.executed_count


def _open(path: Path | None) -> sqlite3.Connection:
    name = ":memory:" if path is None else str(path)
    try:
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
        return _prepared(
            sqlite3.connect(name, isolation_level=None, timeout=0, check_same_thread=False), name
        )
    except (sqlite3.Error, OSError) as error:
        busy = "locked" in str(error)
        advice = "Another server is using it: stop that, or name another file with --data."
        raise BadStart(
            f"{name}: {error}. {advice if busy else 'Expected a file of ours; name another with --data.'}"
        ) from error


def _prepared(database: sqlite3.Connection, name: str) -> sqlite3.Connection:
    """The connection with our tables in it. Closes it before it raises BadStart or sqlite3.Error."""
    try:
        # WAL without a sync per commit: what was committed survives the process, though maybe not a power
        # cut.
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("PRAGMA synchronous = NORMAL")
        # Nobody else writes to this file: a second server on it would deliver every task twice.
        database.execute("PRAGMA locking_mode = EXCLUSIVE")
        version = database.execute("PRAGMA user_version").fetchone()[0]
        if version not in (0, 1, SCHEMA_VERSION):
            raise BadStart(
                f"{name}: written by another version ({version}; this one is {SCHEMA_VERSION}). "
                "Remove the file, or name another with --data."
            )
        upgrade = FROM_VERSION_1 if version == 1 else ""
        database.executescript(
            f"BEGIN EXCLUSIVE; {upgrade} {SCHEMA} PRAGMA user_version = {SCHEMA_VERSION}; COMMIT;"
        )
    except BaseException:
        database.close()
        raise
    return database
