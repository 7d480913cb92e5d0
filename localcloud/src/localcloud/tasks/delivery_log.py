"""The log that a person follows: a line for each attempt that failed, and each task that is given up."""

from collections.abc import Callable

from localcloud.tasks.attempts import AttemptHistory
from localcloud.tasks.clock import SECOND_US
from localcloud.tasks.counts import Counts
from localcloud.tasks.delivery import Delivery
from localcloud.tasks.finished import FinishedTasks
from localcloud.tasks.given_up import GivenUpTasks
from localcloud.tasks.outcome import Outcome
from localcloud.tasks.task import LiveTask, State


class DeliveryLog:
    """Writes the log; keeps the counts, the attempts, the finished tasks. Called by each dispatcher."""

    def __init__(
        self,
        write: Callable[[str], None],
        counts: Counts,
        finished: FinishedTasks,
        attempts: AttemptHistory,
        *,
        verbose: bool,
    ) -> None:
        self._write = write
        self._attempts = attempts
        self._counts = counts
        self._finished = finished
        self._verbose = verbose
        self.given_up = GivenUpTasks()

    def succeeded(self, delivery: Delivery, outcome: Outcome) -> None:
        self._counts.note_delivery("success", len(delivery.task.message))
        self._attempts.note(delivery, outcome, "success")
        self._finished.remember(delivery)
        if self._verbose:
            self._write(f"{_subject(delivery)} {outcome.status}")

    def failed(self, delivery: Delivery, outcome: Outcome, now_us: int) -> None:
        self._counts.note_delivery("failure", len(delivery.task.message))
        task = delivery.task
        waits = task.state is State.WAITING
        self._attempts.note(delivery, outcome, "failure", task.eta_us if waits else 0)
        if waits:
            follows = f"next try in {(task.eta_us - now_us) / SECOND_US:.3f} s"
        elif task.state is State.GONE:
            follows = "gone in the meantime"
        else:
            follows = "another attempt is under way"
        self._write(f"{_subject(delivery)} failed: {_text(outcome)}; {follows}")

    def gave_up(self, delivery: Delivery, outcome: Outcome) -> None:
        self._counts.note_delivery("failure", len(delivery.task.message))
        self._counts.deliveries["given_up"] += 1
        self._attempts.note(delivery, outcome, "given up")
        self._finished.remember(delivery)
        failure = f"{_subject(delivery)} failed: {_text(outcome)}"
        self.given_up.note(failure)
        self._write(f"{failure}; GIVEN UP, the task is deleted")

    def expired(self, task: LiveTask) -> None:
        self._counts.deliveries["expired"] += 1
        self.given_up.note(f"{task.queue.id}/{task.id} expired: older than its queue keeps tasks")
        self._write(f"{task.queue.id}/{task.id} EXPIRED: older than its queue keeps tasks; deleted")

    def changed_pace(self, rate_per_second: float, task: LiveTask) -> None:
        self._write(f"{task.queue.id} now dispatches at most {rate_per_second:g}/s")


def _subject(delivery: Delivery) -> str:
    task = delivery.task
    return f"{task.queue.id}/{task.id} attempt {delivery.retry_count + 1}"


def _text(outcome: Outcome) -> str:
    if outcome.status is None:
        return outcome.reason
    return f"status {outcome.status}" + (f" ({outcome.reason})" if outcome.reason else "")
