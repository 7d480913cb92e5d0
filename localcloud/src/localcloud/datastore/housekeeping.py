"""What happens by itself: the file is looked after, transactions expire, old versions go,
the write-ahead log is put into the file.
"""

from __future__ import annotations

import logging
import threading

from localcloud.datastore.clock import SECOND_US
from localcloud.datastore.reading import RETENTION_SECONDS
from localcloud.datastore.service import Service

_log = logging.getLogger(__name__)
_TICK_SECONDS = 0.25
_CHECKPOINT_EVERY = 4
_PRUNE_EVERY = 20
_SWEEP_EVERY = 120


class Housekeeper:
    """A thread of its own."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._stop = threading.Event()
        self._thread = threading.Thread(
            target=self._run, name="localcloud.datastore.housekeeper", daemon=True
        )

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Returns when it has stopped."""
        self._stop.set()
        self._thread.join()

    def prune(self) -> None:
        """Forget versions that no read may ask for any more."""
        service = self._service
        oldest = service.settings.clock() - RETENTION_SECONDS * SECOND_US
        snapshot = service.transactions.oldest_snapshot()
        service.storage.prune(oldest if snapshot is None else min(oldest, snapshot))

    def _run(self) -> None:
        ticks = 0
        while not self._stop.wait(_TICK_SECONDS):
            ticks += 1
            try:
                self._tick(ticks)
            except Exception as error:  # noqa: BLE001 - one failure must not end all housekeeping
                if self._service.file_trouble(error) is None:
                    _log.exception("housekeeping failed")

    def _tick(self, ticks: int) -> None:
        self._service.storage.check()
        self._service.transactions.expire()
        if ticks % _CHECKPOINT_EVERY == 0:
            self._service.storage.checkpoint()
        if ticks % _PRUNE_EVERY == 0:
            self.prune()
        if ticks % _SWEEP_EVERY == 0:
            self._service.sweeper.begin()
        self._service.sweeper.step()
