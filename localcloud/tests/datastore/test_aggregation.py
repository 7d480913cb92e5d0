"""RunAggregationQuery: count, sum and average."""

from __future__ import annotations

import math
from typing import Any

import pytest
from localcloud.datastore.errors import Refused

from tests.datastore.api import Api, condition, either, key, query, upsert


@pytest.fixture
def some(api: Api) -> Api:
    contents: list[dict[str, Any]] = [
        {"v": 3, "w": 1},
        {"w": 2},
        {"v": "text"},
        {"v": 2.5},
        {"v": None},
        {"v": 10, "w": 2},
    ]
    api.commit(*(upsert(("S", number), **each) for number, each in enumerate(contents, 1)))
    return api


def test_counts_sums_and_averages_skip_what_is_no_number(some: Api) -> None:
    assert some.aggregate(query("S"), ("count", "n")) == {"n": 6}
    assert some.aggregate(query("S"), ("sum", "s", "v")) == {"s": 15.5}
    assert some.aggregate(query("S"), ("avg", "a", "v")) == {"a": 15.5 / 3}
    assert some.aggregate(query("S"), ("sum", "s", "w"), ("avg", "a", "w")) == {"s": 5, "a": 5 / 3}


def test_entities_without_a_summed_property_do_not_count_beside_its_sum(some: Api) -> None:
    assert some.aggregate(query("S"), ("count", "n"), ("sum", "s", "w")) == {"n": 3, "s": 5}
    assert some.aggregate(query("S"), ("count", "n"), ("sum", "s", "w"), ("sum", "t", "v")) == {
        "n": 2,
        "s": 3,
        "t": 13,
    }


def test_nothing_sums_to_zero_and_has_no_average(some: Api) -> None:
    assert some.aggregate(query("None"), ("sum", "s", "v"), ("avg", "a", "v"), ("count", "n")) == {
        "s": 0,
        "a": None,
        "n": 0,
    }


def test_unnamed_aggregations_are_numbered(some: Api) -> None:
    assert some.aggregate(query("S"), ("count", "one", 1), ("count", ""), ("count", "", 2)) == {
        "one": 1,
        "property_1": 6,
        "property_2": 2,
    }


def test_limit_offset_and_bound_apply(some: Api) -> None:
    assert some.aggregate(query("S", limit=4, offset=3), ("count", "n")) == {"n": 3}
    assert some.aggregate(query("S", limit=4), ("count", "n", 3), ("count", "m")) == {"n": 3, "m": 4}
    assert some.aggregate(query("S"), ("count", "n", 0)) == {"n": 0}
    assert some.aggregate(query("S", limit=1, order=["-v"]), ("sum", "s", "v")) == {"s": 2.5}


def test_filters_apply(some: Api) -> None:
    assert some.aggregate(query("S", ("v", ">", 2)), ("count", "n")) == {"n": 4}
    assert some.aggregate(query("S", ("w", "=", 2)), ("count", "n"), ("sum", "s", "v")) == {"n": 1, "s": 10}
    assert some.aggregate(query("S", ("w", "=", 2)), ("sum", "s", "w"), ("count", "n")) == {"s": 4, "n": 2}
    assert some.aggregate(query("S", ("w", "in", [1, 2])), ("sum", "s", "w")) == {"s": 5}
    alternatives = either(condition("v", "=", 3), condition("w", "=", 2))
    assert some.aggregate(query("S", alternatives), ("count", "n")) == {"n": 3}
    assert some.aggregate(query("S", ("__key__", ">", key("S", 4))), ("count", "n")) == {"n": 2}
    assert some.aggregate(query(), ("count", "n")) == {"n": 6}
    assert some.aggregate(query("S", distinct=["w"]), ("count", "n")) == {"n": 2}


def test_an_entity_with_several_values_counts_once(api: Api) -> None:
    api.commit(upsert(("M", 1), t=[1, 2, 3]), upsert(("M", 2), t=[3]))
    assert api.aggregate(query("M", ("t", ">", 0)), ("count", "n")) == {"n": 2}
    assert api.aggregate(query("M", ("t", "=", 3)), ("count", "n")) == {"n": 2}


def test_integers_that_overflow_and_special_doubles(api: Api) -> None:
    api.commit(
        upsert(("B", 1), i=2**62, d=math.inf), upsert(("B", 2), i=2**62, d=-math.inf), upsert(("B", 3), i=1)
    )
    assert api.aggregate(query("B"), ("sum", "s", "i")) == {"s": float(2**63)}
    assert math.isnan(api.aggregate(query("B"), ("sum", "s", "d"))["s"])
    assert api.aggregate(query("B", limit=1), ("sum", "s", "i")) == {"s": 1}


@pytest.mark.parametrize(
    "wrong",
    [
        [],
        [("count", f"n{number}") for number in range(6)],
        [("count", "n"), ("sum", "n", "v")],
        [("count", ""), ("count", "property_1")],
        [("count", "n", -1)],
        [("sum", "s", "")],
        [("avg", "s", "__key__")],
        [("count", "__n__")],
    ],
)
def test_wrong_aggregations_are_refused(some: Api, wrong: list[Any]) -> None:
    with pytest.raises(Refused):
        some.aggregate(query("S"), *wrong)
