"""Threads on virtual time: code that takes locks and sleeps runs unchanged, a simulated hour in seconds.

Each thread is a greenlet. Only one runs at a time, until it sleeps or waits for a lock; then the clock jumps
to whatever happens next. So a run depends on nothing but its inputs, and a thousand threads cost little.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from types import SimpleNamespace
from unittest import mock

from greenlet import getcurrent, greenlet


class World:
    """A clock, what is to happen when, and the threads that wait for it."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self._events: list[tuple[float, int, Callable[[], object]]] = []
        self._order = count()
        self._hub = getcurrent()

    def at(self, when_s: float, happen: Callable[[], object]) -> None:
        heapq.heappush(self._events, (when_s, next(self._order), happen))

    def start(self, thread: Callable[[], object]) -> None:
        """Run `thread` from now on; it may sleep and take locks."""
        self.at(self.now_s, greenlet(thread, parent=self._hub).switch)

    def sleep(self, seconds: float) -> None:
        """Called in a thread."""
        self.at(self.now_s + seconds, getcurrent().switch)
        self._hub.switch()

    def run(self, until_s: float) -> None:
        """Let everything happen that happens before `until_s`."""
        while self._events and self._events[0][0] < until_s:
            self.now_s, _, happen = heapq.heappop(self._events)
            happen()
        self.now_s = until_s

    def lock(self) -> VirtualLock:
        return VirtualLock(self)

    @contextmanager
    def threading_in(self, module: str) -> Iterator[None]:
        """Until the block ends, what `module` creates by `threading.Lock()` are locks of this world."""
        with mock.patch(f"{module}.threading", SimpleNamespace(Lock=self.lock)):
            yield

    def wait_for(self, queue: deque[greenlet]) -> None:
        """Called in a thread: go on when somebody takes it from `queue` and passes it to `wake`."""
        queue.append(getcurrent())
        self._hub.switch()

    def wake(self, thread: greenlet) -> None:
        self.at(self.now_s, thread.switch)


class VirtualLock:
    """Like threading.Lock, but those who wait get it in the order in which they came."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._held = False
        self._waiting: deque[greenlet] = deque()

    def acquire(self) -> bool:
        if self._held:
            self._world.wait_for(self._waiting)  # the releasing thread leaves it held, for us
        self._held = True
        return True

    def release(self) -> None:
        if self._waiting:
            self._world.wake(self._waiting.popleft())
        else:
            self._held = False

    def __enter__(self) -> bool:
        return self.acquire()

    def __exit__(self, *_: object) -> None:
        self.release()
