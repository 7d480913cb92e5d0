"""For an application's own tests: a task is delivered as the queue would deliver it, twice.

    def test_a_guest_is_welcomed_once(worker: Worker) -> None:
        assert perform(worker, WelcomeGuest, {"guest": "ada"}) is Outcome.APPLIED

Nothing is replaced: the payload goes through JSON, the task through its record and a transaction of the
Datastore that DATASTORE_EMULATOR_HOST names (`localcloud.testing` has one). What the task raises comes out.
"""

from __future__ import annotations

from typing import Any

from pushtasks import names
from pushtasks.delivery import Delivery, Outcome
from pushtasks.payload import canonical_json
from pushtasks.task import AnyTask
from pushtasks.worker import Worker


def perform(
    worker: Worker, task: type[AnyTask], payload: Any, *, name: str | None = None, times: int = 2
) -> Outcome:
    """Deliver a task `times` times, as a queue may that delivers at least once; the outcome of the first.

    Every further delivery has to be a duplicate: AssertionError if one is not.
    """
    kind = worker.kinds.of(task)
    name = name or names.random_name()

    def deliver(retry_count: int) -> Outcome:
        return worker.deliver(
            kind.name,
            Delivery(
                name=name,
                queue=names.queue_of(name, kind.queues),
                retry_count=retry_count,
                enqueued_at=worker.clock(),
                path=kind.path,
                content_type="application/json",
                body=canonical_json(payload),
                headers={"content-type": "application/json"},
            ),
        )

    outcome = deliver(0)
    for retry_count in range(1, times):
        again = deliver(retry_count)
        assert again is Outcome.DUPLICATE, f"Delivery {retry_count + 1} of {name} was {again}, no duplicate."
    return outcome
