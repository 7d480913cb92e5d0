"""Whatever bytes a client sends, it gets an answer or a refusal, never INTERNAL, and the server goes on."""

from __future__ import annotations

import random
from typing import Any

import grpc
import pytest
from localcloud.datastore import messages as m
from localcloud.datastore.errors import Refused

from tests.datastore.api import PROJECT, Api, condition, either, entity, insert, key, query, upsert

ALLOWED = {
    grpc.StatusCode.INVALID_ARGUMENT,
    grpc.StatusCode.UNIMPLEMENTED,
    grpc.StatusCode.ABORTED,
    grpc.StatusCode.NOT_FOUND,
    grpc.StatusCode.ALREADY_EXISTS,
    grpc.StatusCode.FAILED_PRECONDITION,
}


def requests(api: Api) -> list[tuple[str, Any]]:
    """Valid requests of every method, with much in them."""
    content = {"n": 1, "s": "text", "d": 0.5, "b": b"\xff", "t": [1, "a", None], "e": {"x": {"y": 2}}}
    masked = upsert(("K", 2), **content)
    masked.property_mask.paths.extend(["n", "e.x"])
    for name, kind in (("n", "increment"), ("d", "maximum")):
        transform = masked.property_transforms.add(property=name)
        getattr(transform, kind).integer_value = 5
    masked.property_transforms.add(property="t").append_missing_elements.values.add().integer_value = 3
    detected = upsert(("K", 3), **content)
    detected.base_version = 77
    cursor = api.batch(query("K", order=["n"], limit=1)).end_cursor
    partition = key("K", 1).partition_id
    asked = [
        query("K", ("n", ">", 0), ("e.x.y", "=", 2), order=["n", "-s"], limit=5, offset=1, start=b""),
        query("K", order=["n"], start=cursor),
        query("K", either(condition("n", "=", 1), condition("s", "in", ["text", "x"]))),
        query("K", ("__key__", "ancestor", key("K", 1)), projection=["n", "t"], distinct=["n"]),
        query("K", ("n", "not in", [5, 6])),
        query("__property__", ("__key__", ">", key("__kind__", "A"))),
    ]
    found: list[tuple[str, Any]] = [
        ("Lookup", m.LookupRequest(keys=[key("K", 1), key("K", "name", namespace="n")])),
        ("Commit", m.CommitRequest(mode=2, mutations=[masked, detected, insert(("K",), **content)])),
        ("Commit", m.CommitRequest(mode=1, single_use_transaction={"read_write": {}}, mutations=[masked])),
        ("BeginTransaction", m.BeginTransactionRequest(transaction_options={"read_only": {}})),
        ("Rollback", m.RollbackRequest(transaction=api.begin())),
        ("AllocateIds", m.AllocateIdsRequest(keys=[key("K"), key("P", 1, "K")])),
        ("ReserveIds", m.ReserveIdsRequest(keys=[key("K", 5)])),
    ]
    found += [("RunQuery", m.RunQueryRequest(query=each, partition_id=partition)) for each in asked]
    aggregation = m.AggregationQuery(nested_query=asked[0])
    aggregation.aggregations.add(alias="n").count.up_to.value = 3
    aggregation.aggregations.add().sum.property.name = "n"
    found.append(("RunAggregationQuery", m.RunAggregationQueryRequest(aggregation_query=aggregation)))
    for _, request in found:
        request.project_id = PROJECT
    return found


def mutated(data: bytes, chance: random.Random) -> bytes:
    """The same with a few bytes changed, inserted, removed, or doubled."""
    changed = bytearray(data)
    for _ in range(chance.choice([1, 1, 2, 4])):
        position = chance.randrange(len(changed) + 1)
        length = chance.choice([1, 1, 2, 8])
        kind = chance.randrange(4)
        if kind == 0:
            changed[position : position + length] = chance.randbytes(length)
        elif kind == 1:
            changed[position:position] = chance.choice(
                [chance.randbytes(length), bytes(length), b"\xff" * length]
            )
        elif kind == 2:
            del changed[position : position + length]
        else:
            changed[position:position] = changed[max(0, position - 12) : position]
    return bytes(changed)


@pytest.mark.parametrize("seed", range(4))
def test_mutated_requests_are_answered_or_refused(api: Api, seed: int) -> None:
    chance = random.Random(seed)
    api.commit(m.Mutation(upsert=entity(("K", 1), {"n": 1, "s": "text", "t": [1, 2]})))
    originals = [(method, request.SerializeToString()) for method, request in requests(api)]
    methods = api.service.methods
    for round_ in range(3000):
        method, data = originals[round_ % len(originals)]
        try:
            methods[method](mutated(data, chance), lambda: True)
        except Refused as refused:
            assert refused.code in ALLOWED, refused.message
            assert refused.message
        if round_ % 50 == 0:
            api.service.transactions.clear()
    api.service.transactions.clear()
    api.commit(upsert(("K", 1), n=7))
    assert api.get("K", 1) == {"n": 7}
    assert api.names(query("K", ("n", "=", 7))) == [1]


@pytest.mark.parametrize("data", [b"", b"\x00", b"\xff" * 100, b"\x0a\xff\xff\xff\xff\x0f", b"{}"])
def test_nonsense_is_refused_by_every_method(api: Api, data: bytes) -> None:
    for method in api.service.methods.values():
        with pytest.raises(Refused) as refused:
            method(data, lambda: True)
        assert refused.value.code is grpc.StatusCode.INVALID_ARGUMENT
