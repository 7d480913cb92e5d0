"""Everything that this package raises on purpose. One base, so that a caller can tell it from a bug.

What the queue is answered, and what it does then:

| raised while a task is applied        | answer | the queue then                                      |
| ------------------------------------- | ------ | --------------------------------------------------- |
| `Rejected`                            | 200    | is done: the task is kept for a person              |
| `DatastoreUnavailable`                | 503    | slows the whole queue down, and delivers again      |
| any other `TaskFailure`               | 500    | delivers this task again, later and later           |
| anything else (the task's own failure)| 500    | the same; with `attempts = N`, N times at most  |
"""

from __future__ import annotations

from math import isfinite
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import grpc

_MOST_REPEATED = 200
_MOST_EXPECTED = 250


class PushTasksError(Exception):
    """The base of all errors below."""


class Rejected(PushTasksError):
    """Data that can never be used: where it was, what was there, what was expected.

    Raised by `Task.parse` and `Task.apply`, and by whatever reads a request.
    """

    def __init__(self, field: str, value: object, expected: str) -> None:
        shown = repr(value)
        # Payloads name fields as they like, but a reason must be short and printable.
        self.field = field if len(field) <= 100 and field.isprintable() else repr(field)[:100]
        self.value = shown if len(shown) <= _MOST_REPEATED else shown[: _MOST_REPEATED - 3] + "..."
        self.given = value if _is_short(value) else self.value
        """The value itself, for JSON; described in words if it is long, or if JSON can't hold it."""
        # Field and rule together are an indexed property of Datastore's: 1,500 bytes of UTF-8 at most.
        rule = expected.encode("utf-8", "backslashreplace").decode()
        self.expected = rule if len(rule) <= _MOST_EXPECTED else rule[: _MOST_EXPECTED - 3] + "..."
        super().__init__(self.sentence)

    @property
    def rule(self) -> str:
        """What was broken, the same for every payload that broke it: a reason to group by."""
        return f"{self.field}: expected {self.expected}"

    @property
    def sentence(self) -> str:
        state = "is missing" if self.value == "None" else f"is {self.value}"
        return f"{self.field} {state}. Expected {self.expected}."


class TaskFailure(PushTasksError):
    """Not applied this time, through no fault of the task's own. The queue delivers it again."""


class Contention(TaskFailure):
    """Others kept writing the same entities for longer than we tried."""


class DatastoreUnavailable(TaskFailure):
    """Datastore is away, exhausted or too slow."""


class DatastoreFailed(TaskFailure):
    """Datastore answered with an error of its own, perhaps because of one task in a group."""


class DatastoreRefused(DatastoreFailed):
    """Datastore refuses, and would refuse again. `code` is the gRPC status."""

    def __init__(self, message: str, code: grpc.StatusCode) -> None:
        super().__init__(message)
        self.code = code


class ShuttingDown(TaskFailure):
    """This process is about to end, and accepts nothing more."""


class CommitTooLarge(PushTasksError):
    """A transaction would write more than a commit may hold. Raised before anything is sent."""


class UnsentWrites(PushTasksError):
    """A transaction ended without sending exactly what its tasks wrote. None may be reported as applied."""


class PlainAccess(PushTasksError):
    """A task read or wrote past its unit of work, where other tasks of its group would not see it."""


class TaskRaised(PushTasksError):
    """One task of a group raised something, so none of the group was applied. `index` says which one."""

    def __init__(self, index: int, error: Exception) -> None:
        super().__init__(f"Task {index} of the group raised {error!r}")
        self.index = index
        self.error = error


class TaskExists(PushTasksError):
    """The name is taken: by a task in the queue, or by one that was there a while ago."""


class OutcomeUnknown(PushTasksError):
    """Cloud Tasks did not answer: the task may be there or not. Ask again under the same name."""


class QueueRefused(PushTasksError):
    """Cloud Tasks refuses, and would refuse again. The message says why."""


class NoBatches(PushTasksError):
    """The server has no BatchCreateTasks: tasks are created one by one there."""


class NotThere(QueueRefused):
    """There is no queue, or no task, of this name."""


class KeyReused(PushTasksError):
    """The key was used before, with another payload. Nothing was enqueued."""


class BadDeclaration(PushTasksError):
    """A kind of task is declared in a way that can't work. Raised at start."""


class SettingsError(PushTasksError):
    """Settings that can't be used. The message has one sentence for each problem."""


def is_own_failure(error: BaseException) -> bool:
    """Whether an attempt failed through the task itself: not contention, not an outage, not a shutdown."""
    return isinstance(error, Exception) and not isinstance(error, TaskFailure | OutcomeUnknown | QueueRefused)


def in_full(failure: BaseException) -> str:
    """A failure with what caused it, for the log. What a client library says is not meant for visitors."""
    return f"{failure} ({failure.__cause__})" if failure.__cause__ else str(failure)


def _is_short(value: object) -> bool:
    """Whether JSON can repeat the value in little space."""
    if isinstance(value, float):
        return isfinite(value)
    return value is None or (isinstance(value, str | int) and len(str(value)) <= _MOST_REPEATED)
