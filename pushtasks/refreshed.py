"""A value that is expensive to fetch: fetched now and then, and not by whoever waits for a page."""

from __future__ import annotations

import threading
from collections.abc import Callable
from time import monotonic
from typing import Generic, TypeVar

T = TypeVar("T")


class Refreshed(Generic[T]):
    """Gives the last value at once, and has a newer one fetched behind the scenes when it is too old.

    Only the first caller waits for the value, and whoever finds none after `forget`, or one that is older
    than twice its life: nobody has asked for a while, so it would be out of date. Threads may share it.
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

    def get(self) -> T:
        """The value. Raises what fetching raises, if there is no value to give that is young enough."""
        value, age_s = self._known()
        if value is None or age_s > 2 * self._life_s:
            with self._fetching:
                value, age_s = self._known()  # somebody else may have fetched it by now
                return self._renew() if value is None or age_s > 2 * self._life_s else value
        if age_s > self._life_s and self._fetching.acquire(blocking=False):
            threading.Thread(target=self._renew_behind, daemon=True).start()
        return value

    def _known(self) -> tuple[T | None, float]:
        """The value, if there is one, and its age."""
        with self._lock:
            return self._value, self._clock_s() - self._fetched_at_s

    def forget(self) -> None:
        """What was fetched is out of date: the next caller waits for a new value."""
        with self._lock:
            self._value = None

    def _renew(self) -> T:
        value = self._fetch()
        with self._lock:
            self._value, self._fetched_at_s = value, self._clock_s()
        return value

    def _renew_behind(self) -> None:
        try:
            self._renew()
        except Exception:  # noqa: BLE001 - the next caller fetches it itself, and gets the error
            self.forget()
        finally:
            self._fetching.release()
