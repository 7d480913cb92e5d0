"""Between a queue's settings and the wire: google.cloud.tasks.v2.Queue, RetryConfig and RateLimits."""

import dataclasses
import math

from localcloud.tasks.clock import SECOND_US
from localcloud.tasks.errors import invalid
from localcloud.tasks.messages import BetaQueue, Message, set_us, to_us
from localcloud.tasks.messages import Queue as QueueMessage
from localcloud.tasks.queue import Queue
from localcloud.tasks.queue_config import DAY_US, MAX_CONCURRENT, MAX_RATE_PER_SECOND, QueueConfig, Routing
from localcloud.tasks.retry import MAX_DURATION_SECONDS, UNLIMITED, RetryPolicy

# Real service: what a queue made through the API gets where CreateQueue names nothing. Google documents only
# "the default"; these are the values that such queues show.
API_RETRY = RetryPolicy(max_attempts=100)
API_QUEUE = QueueConfig(
    rate_per_second=MAX_RATE_PER_SECOND,
    burst=math.ceil(MAX_RATE_PER_SECOND),
    max_concurrent=1000,
    retry=API_RETRY,
    task_ttl_us=31 * DAY_US,
    # Real service: one hour by v2beta3's tombstone_ttl, "up to 24 hours" by v2's CreateTask. We take the
    # former.
    tombstone_ttl_us=3600 * SECOND_US,
)


def task_retry_policy(message: Message, of_queue: RetryPolicy) -> RetryPolicy:
    """The retries of the Task `message`: its own, if it has them, else its queue's.

    Real service: a task's retry_config overrides its queue's (Task.retry_config). What it leaves open is the
    queue's.
    """
    return retry_policy(message.retry_config, of_queue) if message.HasField("retry_config") else of_queue


def retry_policy(message: Message, defaults: RetryPolicy, *, zero_doublings: bool = False) -> RetryPolicy:
    """The RetryConfig `message`, with `defaults` for what it does not set. Raises ApiError.

    On the wire max_doublings 0 looks as if it were not set; `zero_doublings` says that it means 0.
    """
    if message.max_attempts < UNLIMITED:
        raise invalid(f"RetryConfig.max_attempts is {message.max_attempts}. Expected -1 (unlimited) or more.")
    if message.max_doublings < 0:
        raise invalid(f"RetryConfig.max_doublings is {message.max_doublings}. Expected 0 or more.")
    low_us = _duration_us(message, "min_backoff", defaults.min_backoff_us)
    high_us = _duration_us(message, "max_backoff", defaults.max_backoff_us)
    duration_us = _duration_us(message, "max_retry_duration", defaults.max_retry_duration_us)
    if low_us > high_us:
        if message.HasField("min_backoff") and message.HasField("max_backoff"):
            raise invalid(
                f"RetryConfig.min_backoff ({low_us / SECOND_US:g} s) is above "
                f"max_backoff ({high_us / SECOND_US:g} s)."
            )
        low_us = high_us = high_us if message.HasField("max_backoff") else low_us
    return RetryPolicy(
        max_attempts=message.max_attempts or defaults.max_attempts,
        # Real service: cut to whole seconds (RetryConfig.max_retry_duration).
        max_retry_duration_us=duration_us // SECOND_US * SECOND_US,
        min_backoff_us=low_us,
        max_backoff_us=high_us,
        max_doublings=message.max_doublings or (0 if zero_doublings else defaults.max_doublings),
    )


def _duration_us(message: Message, field: str, default_us: int) -> int:
    """The Duration `field` of a RetryConfig, cut to microseconds. Raises ApiError."""
    if not message.HasField(field):
        return default_us
    duration = getattr(message, field)
    if not (0 <= duration.seconds <= MAX_DURATION_SECONDS and 0 <= duration.nanos < 1_000_000_000):
        raise invalid(
            f"RetryConfig.{field} is {duration.seconds} s and {duration.nanos} ns. "
            f"Expected 0 to {MAX_DURATION_SECONDS:,} s, and 0 to 999,999,999 ns."
        )
    return to_us(duration)


def updated_config(queue: Queue, changes: Message, mask: Message) -> QueueConfig:
    """The settings of `queue` with those fields of `changes` that `mask` names; all, if it names none.

    Real service: an empty mask updates all fields; output-only ones are ignored (UpdateQueueRequest).
    """
    ttls = dataclasses.replace(
        API_QUEUE, task_ttl_us=queue.config.task_ttl_us, tombstone_ttl_us=queue.config.tombstone_ttl_us
    )
    if not mask.paths:
        return queue_config(changes, ttls)
    merged = queue_message(queue)
    mask.MergeMessage(changes, merged, replace_message_field=True)
    if "retry_config.max_doublings" in mask.paths:
        # A mask's merge skips what is 0.
        merged.retry_config.max_doublings = changes.retry_config.max_doublings
    return queue_config(merged, ttls, zero_doublings="retry_config" not in mask.paths)


def queue_config(message: Message, defaults: QueueConfig, *, zero_doublings: bool = False) -> QueueConfig:
    """The settings in the Queue `message`, with `defaults` for what it does not set. Raises ApiError."""
    limits = message.rate_limits
    rate = limits.max_dispatches_per_second
    if not 0 <= rate <= MAX_RATE_PER_SECOND:
        raise invalid(
            f"RateLimits.max_dispatches_per_second is {rate:g}. "
            f"Expected more than 0, at most {MAX_RATE_PER_SECOND:g}."
        )
    concurrent = limits.max_concurrent_dispatches
    if not 0 <= concurrent <= MAX_CONCURRENT:
        raise invalid(
            f"RateLimits.max_concurrent_dispatches is {concurrent}. Expected 1 to {MAX_CONCURRENT:,}."
        )
    rate = rate or defaults.rate_per_second
    logging = message.stackdriver_logging_config
    return dataclasses.replace(
        defaults,
        rate_per_second=rate,
        # Real service: the burst is output only; the service chooses it, at least the rate (max_burst_size).
        burst=max(1, math.ceil(rate)),
        max_concurrent=concurrent or defaults.max_concurrent,
        retry=retry_policy(message.retry_config, defaults.retry, zero_doublings=zero_doublings),
        routing=(
            routing(message.app_engine_routing_override)
            if message.HasField("app_engine_routing_override")
            else defaults.routing
        ),
        http_target=message.http_target.SerializeToString() if message.HasField("http_target") else b"",
        logging_ratio=logging.sampling_ratio if message.HasField("stackdriver_logging_config") else None,
    )


def routing(message: Message) -> Routing:
    """The AppEngineRouting `message`; its host is output only, and ignored."""
    return Routing(service=message.service, version=message.version, instance=message.instance)


def queue_message(queue: Queue) -> Message:
    """The v2 Queue that the API tells."""
    message = QueueMessage()
    config = queue.config
    _describe(queue, config, message)
    if config.routing is not None:
        _describe_routing(config.routing, queue.name, message.app_engine_routing_override)
    return message


def beta_queue_message(queue: Queue) -> Message:
    """The v2beta3 Queue, without statistics."""
    message = BetaQueue()
    config = queue.config
    _describe(queue, config, message)
    message.app_engine_http_queue.SetInParent()
    if config.routing is not None:
        override = message.app_engine_http_queue.app_engine_routing_override
        _describe_routing(config.routing, queue.name, override)
    set_us(message.task_ttl, config.task_ttl_us)
    set_us(message.tombstone_ttl, config.tombstone_ttl_us)
    message.type_ = BetaQueue.Type.Value("PUSH")
    return message


def _describe(queue: Queue, config: QueueConfig, message: Message) -> None:
    """Write what both versions of the API call by the same names."""
    message.name = queue.name
    message.state = queue.state
    message.rate_limits.max_dispatches_per_second = config.rate_per_second
    message.rate_limits.max_burst_size = config.burst
    message.rate_limits.max_concurrent_dispatches = config.max_concurrent
    retry = config.retry
    message.retry_config.max_attempts = retry.max_attempts
    message.retry_config.max_doublings = retry.max_doublings
    set_us(message.retry_config.max_retry_duration, retry.max_retry_duration_us)
    set_us(message.retry_config.min_backoff, retry.min_backoff_us)
    set_us(message.retry_config.max_backoff, retry.max_backoff_us)
    if queue.purge_us:
        set_us(message.purge_time, queue.purge_us)
    if config.http_target:
        message.http_target.ParseFromString(config.http_target)
    if config.logging_ratio is not None:
        message.stackdriver_logging_config.sampling_ratio = config.logging_ratio


def _describe_routing(routes: Routing, queue_name: str, message: Message) -> None:
    message.service, message.version, message.instance = routes.service, routes.version, routes.instance
    message.host = host_of(routes, queue_name.split("/")[1])


def host_of(routes: Routing, project: str) -> str:
    """The output-only host of an AppEngineRouting.

    We differ: without a region's code, which a project at home does not have.
    """
    parts = (routes.instance, routes.version, routes.service, project, "appspot.com")
    return ".".join(part for part in parts if part)
