"""Reader and writer locks on entities, for the pessimistic mode.

A transaction's reads lock what they read against writers, its commit locks what it writes against
everybody; all is released when it ends. Those who wait do so in a queue, for a bounded time; those who
can't wait without a deadlock learn it at once: of a cycle, the youngest transaction is aborted, so that the
oldest always gets through.

Real service: "reader/writer locks", contention ends in ABORTED (documentation, "Transactions"); two
transactions that both read and then both write one entity block each other until one gets ABORTED (observed
on the Firestore emulator in Datastore mode).

We differ: how long the real service lets a request wait for a lock is not documented; here it is 4 seconds in
all, less than the deadlines that clients set, so that they see ABORTED.

Locks that two readers share until both want to write would abort all but one of N writers on a hot entity.
So a reader that finds another reader waits its turn first (`politeness_seconds` after the last change of
holders), unless those who read this entity lately did not write it, or waiting would close a cycle. That is
a matter of scheduling alone: whoever may share by the rules of reader and writer locks does so in the end.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Sequence

from localcloud.datastore.errors import aborted

_REMEMBERED_KEYS = 10_000
_ONLY_READ_IS_A_HABIT = 3


class Owner:
    """Who may hold locks: a transaction, or a commit without one. Older ones have the lower number."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.held: dict[bytes, bool] = {}
        """By key: is it held for writing?"""
        self.waits: _Wait | None = None
        self.is_doomed = False
        """Chosen to give way; it learns so when it wakes."""
        self.has_ended = False


class _Wait:
    """One owner waiting: for a key, or for other owners to end."""

    def __init__(
        self, owner: Owner, key: bytes | None, for_writing: bool, blockers: Sequence[Owner] = ()
    ) -> None:
        self.owner = owner
        self.key = key
        self.for_writing = for_writing
        self.blockers = blockers
        self.may_share_now = False
        self.event = threading.Event()


class _Lock:
    """The holders of one key, and the queue before it."""

    __slots__ = ("changed_at", "holders", "queue")

    def __init__(self) -> None:
        self.holders: dict[Owner, bool] = {}
        self.queue: list[_Wait] = []
        self.changed_at = 0.0


class LockTable:
    """All locks of a server. `wait_seconds` bounds what one request waits for in all."""

    def __init__(
        self,
        wait_seconds: float,
        politeness_seconds: float,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._wait_seconds = wait_seconds
        self._politeness_seconds = politeness_seconds
        self._monotonic = monotonic
        self._mutex = threading.Lock()
        self._locks: dict[bytes, _Lock] = {}
        self._ended_waits: list[_Wait] = []
        self._times_only_read: dict[bytes, int] = {}

    def deadline(self) -> float:
        """Until when a request that begins now may wait."""
        return self._monotonic() + self._wait_seconds

    def acquire(
        self,
        owner: Owner,
        keys: Iterable[bytes],
        for_writing: bool,
        deadline: float,
        is_wanted: Callable[[], bool] = lambda: True,
    ) -> None:
        """Lock the keys, one after the other in their order. Raises Refused (ABORTED); keeps what it got.

        `is_wanted` is asked after a wait: the lock is not for one whose client has gone by then.
        """
        for key in sorted(set(keys)):
            with self._mutex:
                if owner.has_ended or owner.is_doomed:
                    raise aborted()
                if owner.held.get(key, None) is True or (key in owner.held and not for_writing):
                    continue
                lock = self._locks.get(key)
                if lock is None:
                    lock = self._locks[key] = _Lock()
                if self._may_have(lock, owner, key, for_writing):
                    self._grant(lock, owner, key, for_writing)
                    continue
                wait = _Wait(owner, key, for_writing)
                # Who holds the key already and wants to write goes first: nobody behind could get it anyway.
                lock.queue.insert(0 if key in owner.held else len(lock.queue), wait)
                self._begin_wait(wait)
            self._wait_for_key(wait, lock, deadline, is_wanted)

    def wait_for(self, owner: Owner, blockers: Sequence[Owner], deadline: float) -> None:
        """Wait until one of the blockers has ended. Raises Refused (ABORTED)."""
        with self._mutex:
            if owner.has_ended or owner.is_doomed:
                raise aborted()
            if any(each.has_ended for each in blockers):
                return
            wait = _Wait(owner, None, True, blockers)
            self._begin_wait(wait)
        try:
            while True:
                wait.event.wait(max(0.0, deadline - self._monotonic()))
                with self._mutex:
                    wait.event.clear()
                    if owner.is_doomed or owner.has_ended:
                        raise aborted()
                    if any(each.has_ended for each in blockers):
                        return
                    if self._monotonic() >= deadline:
                        raise aborted()
        finally:
            with self._mutex:
                self._end_wait(wait)

    def release(self, owner: Owner, written: Iterable[bytes] | None = None) -> None:
        """Release everything; the owner has ended. `written` is what its commit wrote."""
        with self._mutex:
            if owner.has_ended:
                return
            owner.has_ended = True
            if written is not None:
                self._remember(owner, set(written))
            now = self._monotonic()
            for key in owner.held:
                lock = self._locks[key]
                del lock.holders[owner]
                lock.changed_at = now
                if lock.queue:
                    lock.queue[0].event.set()
                elif not lock.holders:
                    del self._locks[key]
            owner.held.clear()
            if owner.waits is not None:
                owner.waits.event.set()
            for wait in self._ended_waits:
                if owner in wait.blockers:
                    wait.event.set()

    def abort_waits(self) -> None:
        """Everyone who waits gets ABORTED at once: the server is about to stop."""
        with self._mutex:
            waits = [*self._ended_waits, *(wait for lock in self._locks.values() for wait in lock.queue)]
            for wait in waits:
                wait.owner.is_doomed = True
                wait.event.set()

    # What follows runs with the mutex held, except for _wait_for_key.

    def _may_have(self, lock: _Lock, owner: Owner, key: bytes, for_writing: bool) -> bool:
        others = [writes for holder, writes in lock.holders.items() if holder is not owner]
        if lock.queue and lock.queue[0].owner is not owner and owner not in lock.holders:
            return False
        if not others:
            return True
        if for_writing or any(others):
            return False
        if self._times_only_read.get(key, 0) >= _ONLY_READ_IS_A_HABIT:
            return True
        return self._monotonic() - lock.changed_at >= self._politeness_seconds

    def _grant(self, lock: _Lock, owner: Owner, key: bytes, for_writing: bool) -> None:
        lock.holders[owner] = owner.held[key] = for_writing
        lock.changed_at = self._monotonic()

    def _wait_for_key(self, wait: _Wait, lock: _Lock, deadline: float, is_wanted: Callable[[], bool]) -> None:
        owner, key = wait.owner, wait.key
        assert key is not None
        try:
            while True:
                now = self._monotonic()
                timeout = deadline - now
                politeness_left = lock.changed_at + self._politeness_seconds - now
                if politeness_left > 0 and not wait.for_writing:
                    timeout = min(timeout, politeness_left)
                wait.event.wait(max(0.0, timeout))
                with self._mutex:
                    wait.event.clear()
                    if owner.is_doomed or owner.has_ended or not is_wanted():
                        raise aborted()
                    shares = wait.may_share_now and not any(lock.holders.values())
                    if shares or self._may_have(lock, owner, key, wait.for_writing):
                        self._grant(lock, owner, key, wait.for_writing)
                        return
                    if self._monotonic() >= deadline:
                        raise aborted("Transaction lock timeout.")
        finally:
            with self._mutex:
                lock.queue.remove(wait)
                self._end_wait(wait)
                if lock.queue:
                    lock.queue[0].event.set()
                elif not lock.holders and self._locks.get(key) is lock:
                    del self._locks[key]

    def _begin_wait(self, wait: _Wait) -> None:
        wait.owner.waits = wait
        if wait.key is None:
            self._ended_waits.append(wait)
        cycle = self._cycle(wait.owner)
        if not cycle:
            return
        for member in cycle:
            polite = member.waits
            if polite is not None and polite.key is not None and self._waits_out_of_politeness(polite):
                polite.may_share_now = True
                polite.event.set()
                return
        victim = max(cycle, key=lambda member: member.number)
        victim.is_doomed = True
        assert victim.waits is not None
        victim.waits.event.set()

    def _end_wait(self, wait: _Wait) -> None:
        wait.owner.waits = None
        if wait in self._ended_waits:
            self._ended_waits.remove(wait)

    def _waits_out_of_politeness(self, wait: _Wait) -> bool:
        assert wait.key is not None
        lock = self._locks[wait.key]
        return not wait.for_writing and not any(lock.holders.values())

    def _cycle(self, start: Owner) -> list[Owner]:
        """Owners that wait for each other in a circle through `start`; empty if there is no circle."""
        path: list[Owner] = []
        seen: set[Owner] = set()

        def leads_back(owner: Owner) -> bool:
            path.append(owner)
            seen.add(owner)
            for blocker in self._blockers(owner):
                if blocker is start or (blocker not in seen and leads_back(blocker)):
                    return True
            path.pop()
            return False

        return path if leads_back(start) else []

    def _blockers(self, owner: Owner) -> list[Owner]:
        wait = owner.waits
        if wait is None or owner.is_doomed or wait.may_share_now:
            return []
        if wait.key is None:
            return [each for each in wait.blockers if not each.has_ended]
        lock = self._locks[wait.key]
        found = [holder for holder in lock.holders if holder is not owner]
        ahead = lock.queue[: lock.queue.index(wait)]
        return found + [each.owner for each in ahead if each.owner is not owner]

    def _remember(self, owner: Owner, written: set[bytes]) -> None:
        for key in owner.held:
            if key in written:
                self._times_only_read.pop(key, None)
            else:
                self._times_only_read[key] = self._times_only_read.pop(key, 0) + 1
        while len(self._times_only_read) > _REMEMBERED_KEYS:
            del self._times_only_read[next(iter(self._times_only_read))]
