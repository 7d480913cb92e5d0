"""How many tasks each queue held over the last hours, and how long the oldest had waited.

Cloud Tasks tells only its present figures. So each reader, the dashboard or a cron job, adds a sample,
at most one a minute. All samples are in one entity, which is best effort: of two processes that write in the
same minute one wins.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from google.cloud import ndb

from pushtasks.database import Database
from pushtasks.entities import QueueSamples
from pushtasks.queue_control import Listing, QueueFigures, wait_s
from pushtasks.ring import MINUTES

MOST_SAMPLES = 360
"""Six hours, if every minute is sampled."""

_ID = "latest"


@dataclass(frozen=True, slots=True)
class Sample:
    """What a queue's figures were in a minute."""

    at: datetime
    waiting: int
    oldest_wait_s: int


Backlog = Mapping[str, Sequence[Sample]]
"""By queue, oldest first. Minutes in which nobody looked are missing."""


def key() -> ndb.Key:
    """Of the entity that has the samples."""
    return ndb.Key(QueueSamples, _ID)


def sampled(
    database: Database,
    entity: QueueSamples | None,
    queues: Sequence[QueueFigures] | None,
    listing: Listing | None,
    now: datetime,
) -> Backlog:
    """What `entity` has, with this minute's sample, which is stored if there is none yet. Needs a context.

    Writes at most once a minute. Queues that no longer exist are dropped.
    """
    stored: dict[str, list[list[int]]] = _unpacked(entity.samples) if entity is not None else {}
    minute = MINUTES.period_of(now)
    newest = max((rows[-1][0] for rows in stored.values() if rows), default=None)
    if queues is not None and minute != newest:
        stored = {
            queue.name: [
                *stored.get(queue.name, [])[1 - MOST_SAMPLES :],
                [minute, queue.waiting, int(wait_s(queue, listing, now))],
            ]
            for queue in queues
        }
        database.put(QueueSamples(key=key(), samples=_packed(stored)))
    return {
        name: [Sample(MINUTES.starts_at(at), waiting, oldest_s) for at, waiting, oldest_s in rows]
        for name, rows in stored.items()
    }


def _packed(samples: Mapping[str, list[list[int]]]) -> bytes:
    return zlib.compress(json.dumps(samples, separators=(",", ":")).encode(), 6)


def _unpacked(blob: bytes) -> dict[str, list[list[int]]]:
    found: dict[str, list[list[int]]] = json.loads(zlib.decompress(blob))
    return found
