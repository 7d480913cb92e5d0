"""A queue's settings: its rate, its concurrency, its retries, where its tasks go."""

import dataclasses
import json
from dataclasses import dataclass, field

from localcloud.tasks.clock import SECOND_US
from localcloud.tasks.retry import RetryPolicy

# Real service: the most that RateLimits allows.
MAX_RATE_PER_SECOND = 500.0
MAX_CONCURRENT = 5000
DAY_US = 24 * 3600 * SECOND_US


@dataclass(frozen=True, slots=True)
class Routing:
    """Which instances of the application get a task; an empty name means the default one."""

    service: str = ""
    version: str = ""
    instance: str = ""


@dataclass(frozen=True, slots=True)
class QueueConfig:
    """One queue's settings. The defaults are those of an entry in queue.yaml that names only a rate.

    Real service: of such a queue the tasks are kept for ten years, and their names for nine days after they
    are gone (v2beta3 Queue.task_ttl; CreateTaskRequest.task).
    """

    rate_per_second: float = MAX_RATE_PER_SECOND
    burst: int = 5
    max_concurrent: int = 1000
    retry: RetryPolicy = field(default_factory=RetryPolicy)
    routing: Routing | None = None
    task_ttl_us: int = 3650 * DAY_US
    tombstone_ttl_us: int = 9 * DAY_US
    # A serialized google.cloud.tasks.v2.HttpTarget: what the queue changes in its HTTP tasks.
    http_target: bytes = b""
    # Accepted and returned, without effect: there is no Cloud Logging at home.
    logging_ratio: float | None = None


# Real service: every application has this queue, configured or not (queue.yaml reference).
DEFAULT_QUEUE_ID = "default"
DEFAULT_QUEUE = QueueConfig(rate_per_second=5.0, burst=5)


def to_json(config: QueueConfig) -> str:
    """A queue's settings as the store keeps them."""
    values = dataclasses.asdict(config)
    values["http_target"] = config.http_target.hex()
    return json.dumps(values)


def from_json(text: str) -> QueueConfig:
    """The inverse of to_json."""
    values = json.loads(text)
    values["retry"] = RetryPolicy(**values["retry"])
    values["routing"] = None if values["routing"] is None else Routing(**values["routing"])
    values["http_target"] = bytes.fromhex(values["http_target"])
    return QueueConfig(**values)
