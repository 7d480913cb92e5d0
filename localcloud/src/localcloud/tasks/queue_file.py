"""The settings of each queue in a queue.yaml, checked as an upload of the file is."""

from collections.abc import Sequence
from typing import Any

from localcloud.tasks.bad_start import BadStart
from localcloud.tasks.clock import SECOND_US
from localcloud.tasks.queue_config import MAX_CONCURRENT, MAX_RATE_PER_SECOND, QueueConfig, Routing
from localcloud.tasks.retry import MAX_DURATION_SECONDS, UNLIMITED, RetryPolicy

# Real service: RateLimits and the queue.yaml reference.
MAX_BUCKET_SIZE = 500


def queue_configs(entries: Sequence[dict[str, Any]], file: str) -> dict[str, QueueConfig]:
    """The queues in `entries`, as parse_files prints them, by their short names. Raises BadStart."""
    queues: dict[str, QueueConfig] = {}
    for entry in entries:
        name = entry["name"]
        try:
            _check_name(name, queues)
            queues[name] = _config(entry)
        except ValueError as error:
            raise BadStart(f"{file}: queue {name!r}: {error}") from error
    return queues


def _check_name(name: str | None, taken: dict[str, QueueConfig]) -> None:
    if not name:
        raise ValueError("a queue has no name. Expected `name: ...` in each entry.")
    if len(name) > 100:
        raise ValueError(f"the name has {len(name)} characters. Expected at most 100.")
    if name in taken:
        raise ValueError("the name is there twice. Expected each once.")


def _config(entry: dict[str, Any]) -> QueueConfig:
    if entry["mode"] == "pull":
        raise ValueError("mode is pull. Cloud Tasks has push queues only: leave `mode` out.")
    rate = entry["rate_per_second"]
    if rate is None:
        raise ValueError("rate is missing. Expected for instance `rate: 5/s`.")
    if rate > MAX_RATE_PER_SECOND:
        raise ValueError(f"rate is {rate:g}/s. Expected at most {MAX_RATE_PER_SECOND:g}/s.")
    burst = entry["bucket_size"]
    if burst is not None and not 0 < burst <= MAX_BUCKET_SIZE:
        raise ValueError(f"bucket_size is {burst}. Expected 1 to {MAX_BUCKET_SIZE}.")
    concurrent = entry["max_concurrent_requests"]
    if concurrent is not None and not 0 < concurrent <= MAX_CONCURRENT:
        raise ValueError(f"max_concurrent_requests is {concurrent}. Expected 1 to {MAX_CONCURRENT}.")
    defaults = QueueConfig()
    return QueueConfig(
        rate_per_second=rate,
        burst=defaults.burst if burst is None else burst,
        max_concurrent=defaults.max_concurrent if concurrent is None else concurrent,
        retry=_retry(entry),
        routing=_routing(entry["target"]),
    )


def _retry(entry: dict[str, Any]) -> RetryPolicy:
    defaults = RetryPolicy()
    limit = entry["task_retry_limit"]
    for key in ("min_backoff_seconds", "max_backoff_seconds", "task_age_limit_seconds"):
        if not (entry[key] or 0) <= MAX_DURATION_SECONDS:
            raise ValueError(f"{key} is {entry[key]:g}. Expected at most {MAX_DURATION_SECONDS:,}.")
    low, high = entry["min_backoff_seconds"], entry["max_backoff_seconds"]
    low_us = defaults.min_backoff_us if low is None else round(low * SECOND_US)
    high_us = defaults.max_backoff_us if high is None else round(high * SECOND_US)
    # Real service: where only one bound is given, the other yields to it (the SDK's
    # TranslateRetryParameters).
    if high is None:
        high_us = max(high_us, low_us)
    elif low is None:
        low_us = min(low_us, high_us)
    doublings = entry["max_doublings"]
    return RetryPolicy(
        # Real service: a limit of n retries is n + 1 attempts (gcloud app deploy queue.yaml).
        max_attempts=UNLIMITED if limit is None else limit + 1,
        max_retry_duration_us=(entry["task_age_limit_seconds"] or 0) * SECOND_US,
        min_backoff_us=low_us,
        max_backoff_us=high_us,
        max_doublings=defaults.max_doublings if doublings is None else doublings,
    )


def _routing(target: str | None) -> Routing | None:
    """`service` or `version.service`, as queue.yaml has it."""
    if target is None:
        return None
    version, _, service = target.rpartition(".")
    return Routing(service=service, version=version)
