"""The tasks on disk: an SQLite file that holds what must survive the process, written in groups.

Disk first, memory second. What the API asks for (a new task, a deletion, a purge) is handed over, written in
one transaction with all else of that turn of the event loop, and only then done to the queues in memory and
answered. If it can't be written, it has not happened: there is nothing to take back.

What has already happened (an attempt succeeded or failed) is written a moment later, together with others,
and tried again until that works. If the server dies before, it delivers the task again, as an at-least-once
queue may.
"""

import asyncio
import contextlib
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

from localcloud.data_file import DataFile, DataFileError, is_sound
from localcloud.tasks.bad_start import BadStart
from localcloud.tasks.clock import Clock
from localcloud.tasks.messages import Task
from localcloud.tasks.queue import Queue
from localcloud.tasks.queue_config import QueueConfig, from_json, to_json
from localcloud.tasks.task import LiveTask, attempts_in, describe_attempts
from localcloud.tasks.unwritten import Unwritten, name_of

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
# How soon a file is missed that nobody writes to.
WATCH_SECONDS = 0.5


class Store:
    """The store of one server. All methods belong to the thread of its event loop."""

    def __init__(
        self,
        path: Path | None,
        loop: asyncio.AbstractEventLoop,
        clock: Clock,
        on_lost: Callable[[str], None] = lambda _: None,
    ) -> None:
        """Open or create the file at `path`; None keeps everything in memory. Raises BadStart.

        `on_lost` is called, with one line, if the file goes or breaks while it is in use.
        """
        self._loop = loop
        self._clock = clock
        self._unwritten = Unwritten()
        self._begin: Callable[[Queue], None] = lambda _: None
        self._waiters: list[asyncio.Future[None]] = []
        self._flush: asyncio.Handle | None = None
        self._flush_is_lazy = False
        self._flushed_at = 0.0
        self._file, self._database = _open(path, on_lost)
        with self._starting():
            self._next_seq: int = self._database.execute(
                "SELECT coalesce(max(seq), 0) + 1 FROM tasks"
            ).fetchone()[0]
            self._database.execute("DELETE FROM tombstones WHERE expire_us <= ?", (clock.now_us(),))
        self._watching: asyncio.Handle | None = None
        self._watch()

    def next_seq(self) -> int:
        """A number above all that were ever handed out."""
        seq = self._next_seq
        self._next_seq += 1
        return seq

    def on_new_tasks(self, begin: Callable[[Queue], None]) -> None:
        """Call `begin` with each queue that has new tasks, once they are on disk and in it."""
        self._begin = begin

    def add(self, task: LiveTask) -> None:
        """Put a new task on disk and into its queue; await `committed`. Its name is taken from now on."""
        self._unwritten.inserts[name_of(task)] = task

    def delete(self, task: LiveTask) -> bool:
        """Take a task off the disk and out of its queue; await `committed`. False: that is under way."""
        name, removals = name_of(task), self._unwritten.removals
        if name in removals:
            return False
        removals[name] = (task, self._expire_us(task.queue))
        return True

    def purge(self, queue: Queue) -> None:
        """Delete all tasks that are in the queue now; await `committed`."""
        self._unwritten.purges[queue] = self._clock.now_us()
        expire_us = self._expire_us(queue)
        for task in queue.tasks.values():
            self._unwritten.removals[name_of(task)] = (task, expire_us)

    def update(self, task: LiveTask) -> None:
        """An attempt has failed: keep the task's new time and its attempts, some time soon."""
        self._unwritten.updates[name_of(task)] = task
        self._flush_lazily()

    def remove(self, task: LiveTask) -> None:
        """The task has finished: forget it but for its name, some time soon."""
        self._unwritten.finish(task, self._expire_us(task.queue))
        self._flush_lazily()

    def is_settled(self, queue: Queue, task_id: str) -> bool:
        """Does the disk hold all that is known of the task of that name?"""
        return not self._unwritten.concerns((queue.number, task_id))

    def is_being_added(self, queue: Queue, task_id: str) -> bool:
        """Is a new task of that name about to be written?"""
        return (queue.number, task_id) in self._unwritten.inserts

    async def settled(self) -> None:
        """Returns once all that was handed over until now is on disk. Raises sqlite3.Error if it can't be."""
        if not self._unwritten.is_empty():
            await self.committed()

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
        if key in self._unwritten.finished:
            return True
        try:
            found = self._database.execute(
                "SELECT expire_us FROM tombstones WHERE queue = ? AND id = ?", key
            ).fetchone()
        except sqlite3.Error as error:
            self._blame(error)
            raise
        return found is not None and found[0] > self._clock.now_us()

    def flush(self) -> None:
        """Write all that waits, in one transaction; then do it in memory, and answer those who wait for it.

        When the disk refuses, those who wait get the error, and what has already happened is written later.
        """
        if self._flush is not None:
            self._flush.cancel()
            self._flush = None
        self._flushed_at = self._loop.time()
        waiters, self._waiters = self._waiters, []
        try:
            self._write()
        except sqlite3.Error as error:
            with contextlib.suppress(sqlite3.Error):
                self._database.rollback()
            self._blame(error)
            self._unwritten.give_up()
            for waiter in waiters:
                if not waiter.done():
                    waiter.set_exception(error)
            if self._unwritten.has_happened():
                self._flush = self._loop.call_later(RETRY_SECONDS, self.flush)
                self._flush_is_lazy = True
            return
        begun = self._unwritten.apply()
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)
        for queue in begun:
            self._begin(queue)

    def save_queue(
        self,
        queue: Queue,
        *,
        config: QueueConfig | None = None,
        state: int | None = None,
        from_file: bool | None = None,
    ) -> None:
        """Write a queue with these changes at once, and then make them. Raises sqlite3.Error."""
        config = queue.config if config is None else config
        state = queue.state if state is None else state
        from_file = queue.from_file if from_file is None else from_file
        values = (queue.number, queue.name, to_json(config), from_file, state, queue.purge_us)
        self._database.execute("INSERT OR REPLACE INTO queues VALUES (?, ?, ?, ?, ?, ?)", values)
        self._check()
        queue.config, queue.state, queue.from_file = config, state, from_file

    def forget_queue(self, queue: Queue) -> None:
        """Remove a queue with its tasks and all the names that it knows, at once. Raises sqlite3.Error."""
        self.flush()
        database = self._database
        database.execute("BEGIN")
        try:
            for table, column in (("queues", "number"), ("tasks", "queue"), ("tombstones", "queue")):
                database.execute(f"DELETE FROM {table} WHERE {column} = ?", (queue.number,))
            database.commit()
            self._check()
        except sqlite3.Error:
            with contextlib.suppress(sqlite3.Error):
                database.rollback()
            raise
        self._unwritten.forget(queue)

    def queues(self) -> list[Queue]:
        """All queues, with the tasks in them. Raises BadStart if they can't be read."""
        with self._starting():
            return self._queues()

    def _queues(self) -> list[Queue]:
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
        if self._watching is not None:
            self._watching.cancel()
        if self._file is not None:
            self._file.finish(self._database)
        self._database.close()
        if self._file is not None:
            self._file.release()

    def _check(self) -> None:
        """Raises DataFileError if what was written is in no file that will be found again."""
        if self._file is not None:
            self._file.check(is_quick=True)

    def _watch(self) -> None:
        if self._file is None:
            return
        with contextlib.suppress(DataFileError):
            self._file.check()
            self._watching = self._loop.call_later(WATCH_SECONDS, self._watch)

    def _blame(self, error: Exception) -> DataFileError | None:
        """The error to report if `error` means that the file is lost, else None."""
        if self._file is None:
            return None
        return self._file.blame(error, lambda: is_sound(self._database))

    @contextlib.contextmanager
    def _starting(self) -> Iterator[None]:
        """Makes a BadStart of what a damaged file does to those who read it."""
        try:
            yield
        except Exception as error:
            lost = self._blame(error)
            self._database.close()
            if self._file is not None:
                self._file.release()
            if lost is None:
                raise
            raise BadStart(str(lost)) from error

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
        database, unwritten = self._database, self._unwritten
        database.execute("BEGIN")
        if unwritten.inserts:
            database.executemany(
                "INSERT INTO tasks (seq, queue, id, create_us, eta_us, message) VALUES (?, ?, ?, ?, ?, ?)",
                [
                    (task.seq, task.queue.number, task.id, task.create_us, task.eta_us, task.message)
                    for task in unwritten.inserts.values()
                ],
            )
        if unwritten.updates:
            database.executemany(
                "UPDATE tasks SET eta_us = ?, attempts = ?, executed_count = ? WHERE seq = ?",
                [(task.eta_us, *_attempts_of(task), task.seq) for task in unwritten.updates.values()],
            )
        for gone in (unwritten.finished, unwritten.removals):
            if gone:
                database.executemany(
                    "DELETE FROM tasks WHERE seq = ?", [(task.seq,) for task, _ in gone.values()]
                )
                database.executemany(
                    "INSERT OR REPLACE INTO tombstones VALUES (?, ?, ?)",
                    [(*name, expire_us) for name, (_, expire_us) in gone.items()],
                )
        if unwritten.purges:
            database.executemany(
                "UPDATE queues SET purge_us = ? WHERE number = ?",
                [(purge_us, queue.number) for queue, purge_us in unwritten.purges.items()],
            )
        database.commit()
        self._check()

    def _expire_us(self, queue: Queue) -> int:
        """Until when the name of a task that goes now stays taken."""
        return self._clock.now_us() + queue.config.tombstone_ttl_us

    def _flush_lazily(self) -> None:
        if self._flush is None:
            self._flush = self._loop.call_later(LAZY_SECONDS, self.flush)
            self._flush_is_lazy = True


def _attempts_of(task: LiveTask) -> tuple[bytes | None, int]:
    """What is kept about a task's attempts: what the API shows, and what only their headers show."""
    if task.attempts is None:
        return None, 0
    message = Task()
    describe_attempts(task.attempts, message)
    return message.SerializeToString(), task.attempts.executed_count


def _open(path: Path | None, on_lost: Callable[[str], None]) -> tuple[DataFile | None, sqlite3.Connection]:
    if path is None:
        return None, _prepared(_connect(":memory:"), ":memory:")
    file: DataFile | None = None
    database: sqlite3.Connection | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = DataFile(path, on_lost)
        database = _prepared(_connect(str(path)), str(path))
        file.use(database)
    except Exception as error:
        if database is not None:
            database.close()
        lost = file.find_damage(error) if file is not None else None
        if file is not None:
            file.release()
        if isinstance(error, DataFileError) or lost is not None:
            raise BadStart(str(lost or error)) from error
        if isinstance(error, (sqlite3.Error, OSError)):
            busy = "locked" in str(error)
            advice = "Another program is using it: stop that" if busy else "Expected a file of ours"
            raise BadStart(f"{path}: {error}. {advice}, or name another file with --data.") from error
        raise
    return file, database


def _connect(name: str) -> sqlite3.Connection:
    return sqlite3.connect(name, isolation_level=None, timeout=0, check_same_thread=False)


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
