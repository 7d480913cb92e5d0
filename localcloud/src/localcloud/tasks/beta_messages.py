"""Between v2beta3's messages and v2's: the same names under other numbers, and a few fields more."""

from __future__ import annotations

import dataclasses

from localcloud.tasks.clock import SECOND_US
from localcloud.tasks.errors import invalid
from localcloud.tasks.messages import BetaQueue, FieldMask, Message, to_us
from localcloud.tasks.messages import Queue as QueueMessage
from localcloud.tasks.queue_config import DAY_US, QueueConfig

_PULL = BetaQueue.Type.Value("PULL")
# On the wire the field is called `type`; only the Python client adds the underscore.
_TYPE = "type_"
_ROUTING = "app_engine_routing_override"
_BETA_ROUTING = ("app_engine_http_queue", f"app_engine_http_queue.{_ROUTING}")
# Real service: the limits of v2beta3's Queue.task_ttl and tombstone_ttl.
_TTLS = {
    "task_ttl": (10 * DAY_US, 3650 * DAY_US),
    "tombstone_ttl": (3600 * SECOND_US, 9 * DAY_US),
}


def translated(source: Message, target_class: Message) -> Message:
    """A `target_class` with those fields of `source` that it has, too, by their names."""
    target = target_class()
    _copy(source, target)
    return target


def v2_queue(queue: Message) -> Message:
    """The v2 Queue in a v2beta3 Queue. Raises ApiError for a pull queue."""
    if queue.type_ == _PULL:
        raise invalid("Queue.type is PULL. Expected PUSH: Cloud Tasks has no pull queues any more.")
    message = translated(queue, QueueMessage)
    if queue.app_engine_http_queue.HasField(_ROUTING):
        _copy(queue.app_engine_http_queue.app_engine_routing_override, message.app_engine_routing_override)
    return message


def v2_mask(mask: Message) -> Message:
    """The v2 fields that a mask of v2beta3 fields names. Raises ApiError for what is not a field."""
    if not mask.paths:
        return mask
    beta_mask = FieldMask(paths=[_TYPE if path == "type" else path for path in mask.paths])
    if not beta_mask.IsValidForDescriptor(BetaQueue.DESCRIPTOR):
        raise invalid(f"update_mask has {', '.join(mask.paths)}. Expected fields of Queue.")
    paths = [_ROUTING if path in _BETA_ROUTING else path for path in mask.paths]
    known = [path for path in paths if path.partition(".")[0] in QueueMessage.DESCRIPTOR.fields_by_name]
    # An empty mask would mean all fields; a queue's name never changes.
    return FieldMask(paths=known or ["name"])


def with_ttls(config: QueueConfig, queue: Message, mask: Message) -> QueueConfig:
    """`config` with the lifetimes that the v2beta3 Queue sets and the mask names. Raises ApiError."""
    times = {"task_ttl": config.task_ttl_us, "tombstone_ttl": config.tombstone_ttl_us}
    for field, (least_us, most_us) in _TTLS.items():
        if not queue.HasField(field) or (mask.paths and field not in mask.paths):
            continue
        time_us = to_us(getattr(queue, field))
        if not least_us <= time_us <= most_us:
            raise invalid(
                f"Queue.{field} is {time_us / SECOND_US:g} s. "
                f"Expected {least_us // SECOND_US:,} to {most_us // SECOND_US:,} s."
            )
        times[field] = time_us
    return dataclasses.replace(config, task_ttl_us=times["task_ttl"], tombstone_ttl_us=times["tombstone_ttl"])


def _copy(source: Message, target: Message) -> None:
    fields = target.DESCRIPTOR.fields_by_name
    for field, value in source.ListFields():
        other = fields.get(field.name)
        if other is None:
            continue
        if other.message_type is None:
            if other.is_repeated:
                getattr(target, field.name).extend(value)
            else:
                setattr(target, field.name, value)
        elif other.message_type.GetOptions().map_entry:
            getattr(target, field.name).update(value)
        elif other.is_repeated:
            for each in value:
                _copy(each, getattr(target, field.name).add())
        else:
            inner = getattr(target, field.name)
            inner.SetInParent()
            _copy(value, inner)
