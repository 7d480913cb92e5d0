"""The wire's message classes, bare: without the client library's wrappers, which cost several times as much.

They come from the package that Google ships; nothing generated is kept here. Protobuf makes its classes at
run time, so there is no static type to name: `Message` stands for any of them.
"""

from __future__ import annotations

from typing import Any, TypeAlias

from google.protobuf.message import DecodeError

from localcloud.datastore.clock import SECOND_US
from localcloud.datastore.errors import invalid
from localcloud.message_types import without_clients

with without_clients("google.cloud.datastore_v1"):
    from google.cloud.datastore_v1.types import aggregation_result, datastore, entity, query, query_profile

Message: TypeAlias = Any

AggregationQuery: Message = query.AggregationQuery.pb()
AggregationResult: Message = aggregation_result.AggregationResult.pb()
AllocateIdsRequest: Message = datastore.AllocateIdsRequest.pb()
AllocateIdsResponse: Message = datastore.AllocateIdsResponse.pb()
BeginTransactionRequest: Message = datastore.BeginTransactionRequest.pb()
BeginTransactionResponse: Message = datastore.BeginTransactionResponse.pb()
CommitRequest: Message = datastore.CommitRequest.pb()
CommitResponse: Message = datastore.CommitResponse.pb()
CompositeFilter: Message = query.CompositeFilter.pb()
Entity: Message = entity.Entity.pb()
EntityResult: Message = query.EntityResult.pb()
GqlQuery: Message = query.GqlQuery.pb()
ExplainMetrics: Message = query_profile.ExplainMetrics.pb()
Filter: Message = query.Filter.pb()
Key: Message = entity.Key.pb()
LookupRequest: Message = datastore.LookupRequest.pb()
LookupResponse: Message = datastore.LookupResponse.pb()
Mutation: Message = datastore.Mutation.pb()
PropertyFilter: Message = query.PropertyFilter.pb()
PropertyOrder: Message = query.PropertyOrder.pb()
PropertyTransform: Message = datastore.PropertyTransform.pb()
Query: Message = query.Query.pb()
QueryResultBatch: Message = query.QueryResultBatch.pb()
ReserveIdsRequest: Message = datastore.ReserveIdsRequest.pb()
ReserveIdsResponse: Message = datastore.ReserveIdsResponse.pb()
RollbackRequest: Message = datastore.RollbackRequest.pb()
RollbackResponse: Message = datastore.RollbackResponse.pb()
RunAggregationQueryRequest: Message = datastore.RunAggregationQueryRequest.pb()
RunAggregationQueryResponse: Message = datastore.RunAggregationQueryResponse.pb()
RunQueryRequest: Message = datastore.RunQueryRequest.pb()
RunQueryResponse: Message = datastore.RunQueryResponse.pb()
TransactionOptions: Message = datastore.TransactionOptions.pb()
Value: Message = entity.Value.pb()

_MAX_REQUEST_BYTES = 10 * 1024 * 1024
_EARLIEST_TIMESTAMP_S = -62_135_596_800  # 0001-01-01
_LATEST_TIMESTAMP_S = 253_402_300_799  # 9999-12-31T23:59:59


def parse(message_class: Message, data: bytes) -> Message:
    """The message in `data`. Raises Refused for bytes that are no such message, or too many.

    Real service: a request has at most 10 MiB (documentation, "Limits").
    """
    if len(data) > _MAX_REQUEST_BYTES:
        raise invalid(f"The request has {len(data)} bytes. At most {_MAX_REQUEST_BYTES} are allowed.")
    try:
        return message_class.FromString(data)
    except DecodeError:
        name = message_class.DESCRIPTOR.name
        raise invalid(f"The request's bytes are no {name}.") from None


def timestamp_us(timestamp: Message) -> int:
    """Microseconds since 1970, rounded down. Raises Refused outside of the years 1 to 9999.

    Real service: values are kept to the microsecond, additional precision is rounded down (entity.proto).
    """
    if not _EARLIEST_TIMESTAMP_S <= timestamp.seconds <= _LATEST_TIMESTAMP_S:
        raise invalid("A timestamp must lie in the years 1 to 9999.")
    if not 0 <= timestamp.nanos <= 999_999_999:
        raise invalid("A timestamp's nanos must lie between 0 and 999999999.")
    return int(timestamp.seconds) * SECOND_US + int(timestamp.nanos) // 1000


def set_timestamp(timestamp: Message, time_us: int) -> None:
    """Write microseconds since 1970 into a Timestamp."""
    timestamp.seconds, micros = divmod(time_us, SECOND_US)
    timestamp.nanos = micros * 1000
