"""A value that is expensive to fetch: fetched now and then, so that no page has to wait for it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from time import monotonic
from typing import Generic, TypeVar

T = TypeVar("T")


class Refreshed(Generic[T]):
    """Gives the last value at once, and fetches a newer one in the background when it is too old.

    A caller waits only for the very first value, for the first after `forget`, or if the last one is older
    than twice its life. Threads may share it.
    """

    def __init__(
        self, fetch: Callable[[], T], life_s: float, clock_s: Callable[[], float] = monotonic
    ) -> None:
        self._fetch = fetch
        self._life_s = life_s
        self._clock_s = clock_s
        self._lock = threading.Lock()
        self._fetching = threading.Lock()
        self._value: T | None = None
        self._fetched_at_s = float("-inf")
        self._forgotten = 0

    def get(self) -> T:
        """The value. Raises what fetching raises, if there is no earlier value to give."""
        with self._lock:
            value, age_s = self._value, self._clock_s() - self._fetched_at_s
        if value is None or age_s > 2 * self._life_s:
            return self._waited_for()
        if age_s > self._life_s and self._fetching.acquire(blocking=False):
            try:
                threading.Thread(target=self._renew_behind, daemon=True).start()
            except RuntimeError:  # no thread to be had: a later caller tries again
                self._fetching.release()
        return value

    def forget(self) -> None:
        """What was fetched is out of date: the next caller waits for a new value."""
        with self._lock:
            self._value = None
            self._forgotten += 1

    def _waited_for(self) -> T:
        with self._fetching:
            with self._lock:
                value, age_s = self._value, self._clock_s() - self._fetched_at_s
            return value if value is not None and age_s <= self._life_s else self._renew()

    def _renew(self) -> T:
        with self._lock:
            forgotten = self._forgotten
        value = self._fetch()
        with self._lock:
            if forgotten == self._forgotten:  # else it may have been fetched before what changed
                self._value, self._fetched_at_s = value, self._clock_s()
        return value

    def _renew_behind(self) -> None:
        try:
            self._renew()
        except Exception:  # noqa: BLE001 - the next caller fetches it itself, and gets the error
            self.forget()
        finally:
            self._fetching.release()
