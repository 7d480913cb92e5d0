"""The documented limits: what just fits is taken, what does not is INVALID_ARGUMENT with the reason."""

from __future__ import annotations

from typing import Any

import grpc
import pytest
from localcloud.datastore import messages as m
from localcloud.datastore.errors import Refused

from tests.datastore.api import Api, entity, key, query, upsert, value


def nested(depth: int) -> Any:
    content: Any = 1
    for _ in range(depth):
        content = {"n": content}
    return content


def put(content: Any, *, unindexed: bool = False, of: Any = ("K", 1)) -> Any:
    return m.Mutation(upsert=entity(of, content, unindexed=content if unindexed else ()))


def point(latitude: float, longitude: float) -> Any:
    message = value(1)
    message.geo_point_value.latitude, message.geo_point_value.longitude = latitude, longitude
    return message


def moment(seconds: int, nanos: int = 0) -> Any:
    message = value(1)
    message.timestamp_value.seconds, message.timestamp_value.nanos = seconds, nanos
    return message


def array(**fields: Any) -> Any:
    message = value([1])
    for name, content in fields.items():
        setattr(message, name, content)
    return message


def vector(*elements: Any, indexed: bool = False) -> Any:
    message = value(list(elements))
    message.meaning, message.exclude_from_indexes = 31, not indexed
    return message


FITS = [
    put({"s": "x" * 1500}),
    put({"s": "é" * 750}),
    put({"b": b"x" * 1_000_000}, unindexed=True),
    put({"n" * 1500: 1}),
    put(nested(21)),
    put({"t": list(range(20_000))}),
    put({"g": point(-90, 180)}),
    put({"t": moment(-62_135_596_800)}),
    put({"a": []}),
    put({}, of=("K" * 1500, "n" * 1500)),
    put({}, of=("K", -5)),
    put({}, of=tuple(["K", 1] * 100)),
    put({"_a_": 1, "__a": 1, "k": key("K", 1), "e": m.Value(entity_value=entity(key("Incomplete"), {}))}),
    put({"v": vector(*[0.5] * 2048)}),
    put({"s": m.Value(string_value="x" * 2000, meaning=15, exclude_from_indexes=True)}),
    put({"z": m.Value(blob_value=b"x", meaning=22, exclude_from_indexes=True)}),
    put({"u": m.Value(entity_value=m.Entity(), meaning=20), "r": m.Value(integer_value=5, meaning=13)}),
]
DOES_NOT_FIT = [
    put({"s": "x" * 1501}),
    put({"s": "é" * 751}),
    put({"b": b"x" * 1501}),
    put({"t": ["x" * 1501]}),
    put({"b": b"x" * 1_048_488}, unindexed=True),
    put({f"b{n}": b"x" * 600_000 for n in range(2)}, unindexed=True),
    put({"n" * 1501: 1}),
    put({"": 1}),
    put({"__reserved__": 1}),
    put({"in": {"__reserved__": 1}}),
    put(nested(22)),
    put({"t": list(range(20_001))}),
    put({"t": [[1]]}),
    put({"t": array(exclude_from_indexes=True)}),
    put({"t": array(meaning=9)}),
    put({"v": vector()}),
    put({"v": vector(*[0.5] * 2049)}),
    put({"v": vector(1)}),
    put({"v": vector(0.5, indexed=True)}),
    put({"projected": m.Value(integer_value=1, meaning=18)}),
    put({"long": m.Value(string_value="x", meaning=15)}),
    put({"rating": m.Value(string_value="x", meaning=13)}),
    put({"unknown": m.Value(string_value="x", meaning=99)}),
    put({"k": key("K", 1, namespace="zero\0byte")}),
    put({"k": key("K", 1, project="not a project")}),
    put({"nothing": m.Value()}),
    put({"g": point(91, 0)}),
    put({"g": point(0, float("nan"))}),
    put({"t": moment(253_402_300_800)}),
    put({"t": moment(0, -1)}),
    put({"k": key("K")}),
    put({}, of=("K" * 1501, 1)),
    put({}, of=("K", "n" * 1501)),
    put({}, of=("", 1)),
    put({}, of=("K", "")),
    put({}, of=("K", 0)),
    put({}, of=("K", "__reserved__")),
    put({}, of=("__kind__", "K")),
    put({}, of=tuple(["K", 1] * 101)),
    put({}, of=tuple(["K" * 1500, 1] * 5)),
    m.Mutation(upsert=entity(key(), {})),
    m.Mutation(upsert=m.Entity()),
    m.Mutation(),
    m.Mutation(delete=key("K")),
    m.Mutation(update=entity(("K",), {})),
    m.Mutation(upsert=entity(key("K", 1, namespace="not allowed"), {})),
    m.Mutation(upsert=entity(key("K", 1, namespace="__reserved__"), {})),
    m.Mutation(upsert=entity(key("K", 1, namespace="n" * 101), {})),
]


@pytest.mark.parametrize("mutation", FITS, ids=range(len(FITS)))
def test_what_fits_is_stored(api: Api, mutation: Any) -> None:
    api.commit(mutation)
    found = api.lookup(mutation.upsert.key).found[0].entity
    assert found.properties == mutation.upsert.properties


@pytest.mark.parametrize("mutation", DOES_NOT_FIT, ids=range(len(DOES_NOT_FIT)))
def test_what_does_not_fit_is_refused_with_a_reason(api: Api, mutation: Any) -> None:
    with pytest.raises(Refused) as refused:
        api.commit(mutation)
    assert refused.value.code is grpc.StatusCode.INVALID_ARGUMENT
    assert len(refused.value.message) > 20


def test_a_request_has_at_most_10_mib(api: Api) -> None:
    parts = [put({"b": b"x" * 1_000_000}, unindexed=True, of=("K", number + 1)) for number in range(11)]
    with pytest.raises(Refused, match="10485760"):
        api.commit(*parts)
    api.commit(*parts[:10])


def test_what_is_too_much_for_one_response_is_deferred(api: Api) -> None:
    keys = [("K", number) for number in range(1, 8)]
    for of in keys:
        api.commit(put({"b": b"x" * 1_000_000}, unindexed=True, of=of))
    found = []
    asked = [key(*of) for of in keys]
    while asked:
        response = api.lookup(*asked)
        assert response.found
        assert len(response.SerializeToString()) < 4 * 1024 * 1024
        found += [each.entity.key for each in response.found]
        asked = list(response.deferred)
    assert found == [key(*of) for of in keys]
    assert api.service.counts.as_json()["reads"] == 7


def test_a_lookup_has_at_most_1000_keys_and_a_commit_may_have_more_entities(api: Api) -> None:
    api.commit(*(upsert(("K", number)) for number in range(1, 1502)))
    api.lookup(*(("K", number) for number in range(1, 1001)))
    with pytest.raises(Refused, match="1000"):
        api.lookup(*(("K", number) for number in range(1, 1002)))
    assert len(api.find(query("K"))) == 1501


def test_an_entity_has_at_most_500_transforms(api: Api) -> None:
    mutation = upsert(("K", 1))
    for number in range(501):
        mutation.property_transforms.add(property=f"n{number}").increment.integer_value = 1
    with pytest.raises(Refused, match="500"):
        api.commit(mutation)
