"""Group commit: whoever arrives first commits for all that wait meanwhile.

A worker process serves many tasks at once, and Datastore takes some 20 to 60 ms for a transaction however
little it changes. So while one group commits, the tasks that arrive wait, and go together in the next.
Nobody waits when nothing is under way.

An entity bears only so many writes a second. So contention spaces the commits out, which makes fewer and
larger ones, and is met with another group, not with many single tries.
"""

from __future__ import annotations

import random
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Generic, Protocol, TypeVar

from counters.slots import Slot
from counters.tasks import Contention, DatastoreFailed, Outcome, ShuttingDown, TaskFailure

D = TypeVar("D")
D_contra = TypeVar("D_contra", contravariant=True)

_SMALL_GROUP, _GATHERING_S, _LOOKS = 40, 0.03, 6
_FEW_TRIES = 2
_TRIES_IN_A_CROWD = 6
_LOCKED_AFTER_S = 1.0
_FIRST_SPACING_S, _LONGEST_SPACING_S, _NO_SPACING_S = 0.05, 2.0, 0.005
_SPACING_GROWS, _SPACING_SHRINKS = 2.0, 0.9


class Apply(Protocol[D_contra]):
    """Applies all in one transaction, or raises; see `counters.applying.Applier.apply`."""

    def __call__(self, deliveries: Sequence[D_contra], *, records_first: bool = False) -> list[Outcome]: ...


class _Seat(Generic[D]):
    """A delivery that waits for its outcome, and the thread that waits with it."""

    __slots__ = ("_woken", "delivery", "failure", "leads", "outcome", "tries")

    def __init__(self, delivery: D) -> None:
        self.delivery = delivery
        self.outcome: Outcome | None = None
        self.failure: BaseException | None = None
        self.leads = False
        self.tries = 0
        self._woken = threading.Lock()
        self._woken.acquire()

    def wait(self) -> None:
        self._woken.acquire()

    def wake(self) -> None:
        self._woken.release()


class GroupCommitter(Generic[D]):
    """Hands out one outcome for each delivery, each counted once. Threads may share it."""

    def __init__(
        self,
        apply: Apply[D],
        slot: Slot,
        most: int,
        randomness: random.Random | None = None,
        sleep: Callable[[float], None] = time.sleep,
        clock_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._apply = apply
        self._slot = slot
        self._most = most
        self._random = randomness or random.SystemRandom()
        self._sleep = sleep
        self._clock_s = clock_s
        self._lock = threading.Lock()
        self._waiting: deque[_Seat[D]] = deque()
        self._led = False
        self._closed = False
        self._spacing_s = 0.0
        self._ended_s = 0.0

    def commit(self, delivery: D) -> Outcome:
        """Apply the delivery, in a group with others if there are any. Returns once it is committed.

        Raises TaskFailure if it was not applied as far as one can know; deliver it again then.
        """
        seat = _Seat(delivery)
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
        if seat.outcome is not None:
            return seat.outcome
        if isinstance(seat.failure, TaskFailure) and not isinstance(
            seat.failure, Contention | DatastoreFailed
        ):
            raise seat.failure
        # Its groups failed again and again. Everybody tries alone now, each in a thread of its own, so that
        # one task which can't be applied, or whose record somebody else has locked, holds up nobody.
        self._sleep(self._random.uniform(0.0, self._spacing_s))
        return self._apply([delivery], records_first=True)[0]

    def close(self) -> None:
        """Take in nothing more; what was taken in goes on to its end.

        Without the lock: a signal handler calls it, perhaps in a thread that holds the lock.
        """
        self._closed = True

    def _lead(self, own: _Seat[D], *, gathers: bool = False) -> None:
        """Commit groups until our own delivery has had its turn; then let another thread lead."""
        group: list[_Seat[D]] = []
        try:
            if gathers:
                self._gather()
            while own.outcome is None and own.failure is None:
                self._keep_distance()
                with self._lock:
                    # Our own seat is always among them: nobody led when it was queued or made the leader.
                    group = [self._waiting.popleft() for _ in range(min(self._most, len(self._waiting)))]
                self._commit_group(group)
                self._wake_settled(group, own)
                group = []
        finally:
            # Even if this thread is dying: those of its group try alone, the others get another leader.
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

    def _commit_group(self, group: Sequence[_Seat[D]]) -> None:
        """Give each of the group its outcome; or its failure, if it shall not try in a group again."""
        began_s = self._clock_s()
        try:
            outcomes = self._apply([seat.delivery for seat in group])
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
            for seat, outcome in zip(group, outcomes, strict=True):
                seat.outcome = outcome
            shorter_s = self._spacing_s * _SPACING_SHRINKS
            self._spacing_s = shorter_s if shorter_s > _NO_SPACING_S else 0.0
        self._ended_s = self._clock_s()

    def _wake_settled(self, group: Sequence[_Seat[D]], own: _Seat[D]) -> None:
        """Answer those who are through; the others go first in the next group."""
        again = []
        for seat in group:
            if seat.outcome is None and seat.failure is None:
                again.append(seat)
            elif seat is not own:
                seat.wake()
        if again:
            with self._lock:
                self._waiting.extendleft(reversed(again))
