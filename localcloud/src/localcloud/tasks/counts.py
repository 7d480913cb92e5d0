"""What the queues have done since the server started, and what Google would bill for it."""

from collections import Counter
from typing import Any

# Real service: an operation is an API call or a push attempt, for each 32 KB of its data (Cloud Tasks
# pricing).
CHUNK_BYTES = 32 * 1024


class Counts:
    """Billed operations, calls by method, deliveries by result."""

    def __init__(self) -> None:
        self.operations = 0
        self.calls: Counter[str] = Counter()
        self.deliveries: Counter[str] = Counter()

    def note_call(self, method: str, request_bytes: int, tasks: int) -> None:
        """A call of the API that is billed as `tasks` operations, or as more if it was large.

        Real service: a list of 25 tasks counts as 25 operations.
        We differ: what a batch counts as is not documented; here it counts one operation for each task.
        """
        self.calls[method] += 1
        self.operations += max(1, tasks, chunks(request_bytes))

    def note_delivery(self, result: str, request_bytes: int) -> None:
        """A push attempt that ended as `result`."""
        self.deliveries[result] += 1
        self.operations += chunks(request_bytes)

    def as_json(self) -> dict[str, Any]:
        """For GET /counts."""
        return {"operations": self.operations, "rpcs": dict(self.calls), "deliveries": dict(self.deliveries)}


def chunks(size: int) -> int:
    """How many operations `size` bytes are billed as."""
    return max(1, -(-size // CHUNK_BYTES))
