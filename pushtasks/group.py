"""Group commit: the first to arrive commits for all that are waiting by then.

A worker process serves many tasks at once, and Datastore takes some 20 to 60 ms for a transaction however
little it changes. So while one group commits, the tasks that arrive wait, and go together in the next.
Nobody waits when nothing is under way.

An entity can take only a few writes a second. So on contention the commits are spaced out, which makes them
fewer and larger, and the tasks are tried again as a group, not one by one.
"""

from __future__ import annotations

import random
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Generic, Protocol, TypeVar

from pushtasks.errors import (
    CommitTooLarge,
    Contention,
    DatastoreFailed,
    ShuttingDown,
    TaskFailure,
    TaskRaised,
)
from pushtasks.slots import Slot

D = TypeVar("D")
D_contra = TypeVar("D_contra", contravariant=True)
R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)

MOST_DECLARED_KEYS = 500
"""A group closes at this many keys to read, half of what a Lookup takes (1,000; "Limits", Datastore docs)."""

_SMALL_GROUP, _GATHERING_S, _LOOKS = 40, 0.03, 6
"""A transaction costs about as much as two tasks in it, so a busy process waits up to 30 ms for a group of 40
(docs/performance.md: 0.1 ms less for each task than with 20 ms; longer brought nothing)."""

_FEW_TRIES, _TRIES_IN_A_CROWD = 2, 6
"""How often a task is tried in groups before it tries alone; more often after quick contention, where single
tries would make it worse (docs/scale.md)."""

_LOCKED_AFTER_S = 1.0
"""Contention that took this long came from a lock that somebody holds, perhaps of a single record."""

_FIRST_SPACING_S, _LONGEST_SPACING_S, _NO_SPACING_S = 0.05, 2.0, 0.005
_SPACING_GROWS, _SPACING_SHRINKS = 2.0, 0.9
"""After contention commits are spaced out, twice as far each time, and a tenth closer after each success: the
simulation of docs/scale.md was run with these."""


class Apply(Protocol[D_contra, R_co]):
    """Applies all in one transaction, or raises; see `pushtasks.applier.Applier.apply`."""

    def __call__(
        self, deliveries: Sequence[D_contra], /, *, records_first: bool = False
    ) -> Sequence[R_co]: ...


class _Seat(Generic[D, R]):
    """A delivery that waits for its outcome, and the thread that waits with it."""

    __slots__ = ("_woken", "delivery", "failure", "keys", "leads", "result", "tries")

    def __init__(self, delivery: D, keys: int) -> None:
        self.delivery = delivery
        self.keys = keys
        self.result: R | None = None
        self.failure: BaseException | None = None
        self.leads = False
        self.tries = 0
        self._woken = threading.Lock()
        self._woken.acquire()

    def wait(self) -> None:
        self._woken.acquire()

    def wake(self) -> None:
        self._woken.release()


class GroupCommitter(Generic[D, R]):
    """Hands out one result for each delivery, each counted once. Threads may share it."""

    def __init__(
        self,
        apply: Apply[D, R],
        slot: Slot,
        most: int,
        randomness: random.Random | None = None,
        sleep: Callable[[float], None] = time.sleep,
        clock_s: Callable[[], float] = time.monotonic,
        declared_keys: Callable[[D], int] = lambda delivery: 1,  # noqa: ARG005 - as large as a plain record
    ) -> None:
        self._apply = apply
        self._slot = slot
        self._most = most
        self._random = randomness or random.SystemRandom()
        self._sleep = sleep
        self._clock_s = clock_s
        self._declared_keys = declared_keys
        self._lock = threading.Lock()
        self._waiting: deque[_Seat[D, R]] = deque()
        self._led = False
        self._closed = False
        self._spacing_s = 0.0
        self._ended_s = 0.0

    def commit(self, delivery: D) -> R:
        """Apply the delivery, in a group with others if there are any. Returns once it is committed.

        Raises TaskFailure if, as far as we know, it was not applied; deliver it again then. Whatever else
        is raised is the task's own failure, found when it was tried alone.
        """
        seat: _Seat[D, R] = _Seat(delivery, self._declared_keys(delivery))
        with self._lock:
            if self._closed:
                raise ShuttingDown("This process is shutting down; deliver the task again.")
            self._waiting.append(seat)
            if not self._led:
                self._led = seat.leads = True
        if seat.leads:
            self._lead(seat)
        else:
            seat.wait()
            if seat.leads:
                self._lead(seat, gathers=True)
        if seat.result is not None:
            return seat.result
        if isinstance(seat.failure, TaskFailure) and not isinstance(
            seat.failure, Contention | DatastoreFailed
        ):
            raise seat.failure
        # Its groups failed again and again. Everybody tries alone now, each in a thread of its own, so that
        # one task which can't be applied, or whose record somebody else has locked, holds up nobody.
        self._sleep(self._random.uniform(0.0, self._spacing_s))
        return self._apply([delivery], records_first=True)[0]

    def close(self) -> None:
        """Accept nothing more; finish what was accepted.

        Without the lock: a signal handler calls it, perhaps in a thread that holds the lock.
        """
        self._closed = True

    def _lead(self, own: _Seat[D, R], *, gathers: bool = False) -> None:
        """Commit groups until our own delivery has had its turn; then let another thread lead."""
        group: list[_Seat[D, R]] = []
        try:
            if gathers:
                self._gather()
            while own.result is None and own.failure is None:
                self._keep_distance()
                with self._lock:
                    # Our own seat is always among them: nobody led when it was queued or made the leader.
                    group = self._next_group()
                self._commit_group(group)
                self._wake_settled(group, own)
                group = []
        finally:
            # Even if this thread is dying: its group's deliveries try alone, the others get another leader.
            with self._lock:
                if own in self._waiting:
                    self._waiting.remove(own)
                successor = self._waiting[0] if self._waiting else None
                self._led = successor is not None
            if successor is not None:
                successor.leads = True
                successor.wake()
            for seat in group:
                if seat is not own:
                    seat.wake()

    def _next_group(self) -> list[_Seat[D, R]]:
        """The first that wait, as many as may share a transaction; at least one. Needs the lock."""
        group: list[_Seat[D, R]] = []
        keys = 0
        while self._waiting and len(group) < self._most:
            keys += self._waiting[0].keys
            if group and keys > MOST_DECLARED_KEYS:
                break
            group.append(self._waiting.popleft())
        return group

    def _gather(self) -> None:
        """In a busy process, let a small group wait a moment for more: a group costs as much as two tasks."""
        for _ in range(_LOOKS):
            if len(self._waiting) >= min(_SMALL_GROUP, self._most):
                return
            self._sleep(_GATHERING_S / _LOOKS)

    def _keep_distance(self) -> None:
        """After contention, let time pass between one commit and the next: fewer writes, larger groups."""
        if self._spacing_s:
            next_s = self._ended_s + self._spacing_s * self._random.uniform(0.5, 1.0)
            if (wait_s := next_s - self._clock_s()) > 0:
                self._sleep(wait_s)

    def _commit_group(self, group: Sequence[_Seat[D, R]]) -> None:
        """Give each of the group its result; or its failure, if it must not try in a group again."""
        began_s = self._clock_s()
        try:
            results = self._apply([seat.delivery for seat in group])
        except TaskRaised as raised:
            # That one goes alone; the others are applied again, as if it had not been there.
            group[raised.index].failure = raised.error
        except CommitTooLarge as too_large:
            if len(group) == 1:
                group[0].failure = too_large
            else:
                half = len(group) // 2
                self._commit_group(group[:half])
                self._commit_group(group[half:])
        except DatastoreFailed as failure:
            # Perhaps because of one delivery, such as a payload too large: found out by trying each alone.
            for seat in group:
                seat.failure = failure
        except TaskFailure as failure:
            self._slot.redraw()
            most = _FEW_TRIES
            if isinstance(failure, Contention):
                self._spacing_s = min(
                    _LONGEST_SPACING_S, max(_FIRST_SPACING_S, _SPACING_GROWS * self._spacing_s)
                )
                # If it took long, somebody holds a lock, perhaps that of a single record. Otherwise a shard
                # is written too often, and trying one by one would make that worse (docs/scale.md).
                if self._clock_s() - began_s < _LOCKED_AFTER_S:
                    most = _TRIES_IN_A_CROWD
            for seat in group:
                seat.tries += 1
                seat.failure = failure if seat.tries >= most else None
            if most == _FEW_TRIES and any(seat.failure is None for seat in group):
                self._sleep(self._random.uniform(0.005, 0.05))
        except Exception as error:  # noqa: BLE001 - handed to the threads that wait
            # Perhaps one delivery's own fault: found out by trying each alone.
            for seat in group:
                seat.failure = error
        else:
            for seat, result in zip(group, results, strict=True):
                seat.result = result
            shorter_s = self._spacing_s * _SPACING_SHRINKS
            self._spacing_s = shorter_s if shorter_s > _NO_SPACING_S else 0.0
        self._ended_s = self._clock_s()

    def _wake_settled(self, group: Sequence[_Seat[D, R]], own: _Seat[D, R]) -> None:
        """Answer those that are done; the others go first in the next group."""
        again = []
        for seat in group:
            if seat.result is None and seat.failure is None:
                again.append(seat)
            elif seat is not own:
                seat.wake()
        if again:
            with self._lock:
                self._waiting.extendleft(reversed(again))
