"""An hour of history for demonstrations: the application's own code, with a clock that runs through it.

All that a dashboard shows of it is consistent: every task was applied by the code that applies real ones.
"""

from __future__ import annotations

import json
import math
import random
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from counters.settings import CounterSettings
from counters.update_counter import UpdateCounter
from pushtasks.applier import Applier
from pushtasks.database import Database
from pushtasks.delivery import Delivery
from pushtasks.slots import Slot

_BAD_BODIES = (
    b'{"counter": "visits", "amount": "two"}',
    b'{"amount": 1}',
    b'{"counter": "a b", "amount": 1}',
)


class _MovedClock:
    def __init__(self, now: datetime) -> None:
        self.now = now

    def __call__(self) -> datetime:
        return self.now


def live_through(
    database: Database, settings: CounterSettings, counters: Sequence[str], minutes: int = 59, seed: int = 1
) -> int:
    """Apply an hour's tasks, minute by minute up to now; how many were applied."""
    chance = random.Random(seed)
    end = datetime.now(UTC)
    clock = _MovedClock(end)
    slot = Slot(settings.slots, chance)
    applier = Applier(UpdateCounter(settings), database, settings, slot, clock=clock)
    applied = 0
    for minute in range(minutes, 0, -1):
        clock.now = end - timedelta(minutes=minute)
        trouble = 0.25 if 24 <= minute <= 31 else 0.03
        count = int(90 + 45 * math.sin(minute / 9) + chance.randrange(30))
        tasks = [_task(chance, clock.now, counters, trouble) for _ in range(count)]
        tasks += [task for task in tasks if chance.random() < trouble / 5]
        if chance.random() < 0.07:
            tasks.append(_named(chance, clock.now, chance.choice(_BAD_BODIES), 0))
        slot.redraw()
        applier.apply([applier.receive(task) for task in tasks])
        applied += count
    return applied


def _task(chance: random.Random, now: datetime, counters: Sequence[str], trouble: float) -> Delivery:
    retries = 0
    while retries < 12 and chance.random() < (trouble if not retries else 0.45):
        retries += 1
    amount = chance.choice((1, 1, 1, 1, 2, 3, 5))
    counter = counters[min(int(chance.expovariate(0.35)), len(counters) - 1)]
    return _named(chance, now, json.dumps({"counter": counter, "amount": amount}).encode(), retries)


def _named(chance: random.Random, now: datetime, body: bytes, retries: int) -> Delivery:
    waited_s = chance.lognormvariate(-2.6, 0.7) + sum(0.5 * 2**retry for retry in range(retries))
    return Delivery(
        name=f"{chance.getrandbits(128):032x}",
        queue=f"counter-updates-{chance.randrange(4)}",
        retry_count=retries,
        enqueued_at=now - timedelta(seconds=waited_s),
        path="/update-counter",
        content_type="application/json",
        body=body,
        headers={"content-type": "application/json", "x-appengine-taskretrycount": str(retries)},
    )
