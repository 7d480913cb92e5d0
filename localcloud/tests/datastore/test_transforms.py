"""Property transforms, rule by rule as datastore.proto states them."""

from __future__ import annotations

import math
from typing import Any

import pytest
from localcloud.datastore import messages as m
from localcloud.datastore.errors import Refused

from tests.datastore.api import Api, StandingClock, delete, plain, upsert, value

A = ("Thing", "a")
NAN = math.nan


def transform(name: str, kind: str, operand: Any) -> Any:
    message = m.PropertyTransform(property=name)
    if kind in ("append_missing_elements", "remove_all_from_array"):
        getattr(message, kind).values.extend(value(each) for each in operand)
    elif kind == "set_to_server_value":
        message.set_to_server_value = operand
    else:
        getattr(message, kind).CopyFrom(value(operand))
    return message


def apply(api: Api, *transforms: Any) -> list[Any]:
    """A blind change: an empty mask that is there, so that nothing but the transforms counts."""
    mutation = upsert(A)
    mutation.property_mask.SetInParent()
    mutation.property_transforms.extend(transforms)
    return [plain(each) for each in api.commit(mutation).mutation_results[0].transform_results]


@pytest.mark.parametrize(
    ("kind", "present", "operand", "expected"),
    [
        ("increment", 5, 3, 8),
        ("increment", 5, 0.5, 5.5),
        ("increment", 0.5, 1, 1.5),
        ("increment", "text", 3, 3),
        ("increment", 2**63 - 1, 1, 2**63 - 1),
        ("increment", -(2**63), -1, -(2**63)),
        ("maximum", 5, 7, 7),
        ("maximum", 5, 3, 5),
        ("maximum", 5, 5.5, 5.5),
        ("maximum", 3, 3.0, 3),
        ("maximum", -0.0, 0, -0.0),
        ("maximum", None, 3, 3),
        ("maximum", 5, NAN, NAN),
        ("maximum", NAN, 5, NAN),
        ("minimum", 5, 3, 3),
        ("minimum", 5, 7.5, 5),
        ("minimum", 3.0, 3, 3.0),
        ("minimum", 5, NAN, NAN),
        ("append_missing_elements", [1, "a"], ["a", 1.0, 2, 2], [1, "a", 2]),
        ("append_missing_elements", 7, [1, 1], [1]),
        ("append_missing_elements", [None, NAN], [None, NAN, 3], [None, NAN, 3]),
        ("remove_all_from_array", [1, 2, 1.0, "a"], [1], [2, "a"]),
        ("remove_all_from_array", "text", [1], []),
    ],
)
def test_a_transform_combines_what_is_there_with_its_operand(
    api: Api, kind: str, present: Any, operand: Any, expected: Any
) -> None:
    api.commit(upsert(A, n=present, other=1))
    (result,) = apply(api, transform("n", kind, operand))
    found = api.get(*A)
    assert repr(found["n"]) == repr(expected)
    assert found["other"] == 1
    assert repr(result) == repr(None if isinstance(expected, list) else expected)


def test_a_missing_property_becomes_the_operand(api: Api) -> None:
    assert apply(api, transform("n", "increment", 3), transform("inner.m", "maximum", 4)) == [3, 4]
    assert api.get(*A) == {"n": 3, "inner": {"m": 4}}


def test_transforms_apply_in_order_after_the_write(api: Api) -> None:
    mutation = upsert(A, n=10)
    mutation.property_transforms.extend([transform("n", "increment", 1), transform("n", "maximum", 50)])
    results = api.commit(mutation).mutation_results[0].transform_results
    assert [plain(each) for each in results] == [11, 50]


def test_server_time_is_the_same_in_the_whole_commit_and_has_milliseconds(
    api: Api, clock: StandingClock
) -> None:
    first, second = upsert(("Thing", 1)), upsert(("Thing", 2))
    for mutation in (first, second):
        mutation.property_transforms.append(transform("at", "set_to_server_value", 1))
    response = api.commit(first, second, mode="SINGLE_USE")
    times = [each.transform_results[0].timestamp_value for each in response.mutation_results]
    assert times[0] == times[1]
    assert times[0].nanos % 1_000_000 == 0


def test_many_blind_increments_add_up(api: Api) -> None:
    for _ in range(5):
        apply(api, transform("n", "increment", 2))
    assert api.get(*A) == {"n": 10}


@pytest.mark.parametrize(
    "wrong",
    [
        transform("n", "increment", "text"),
        transform("n", "maximum", True),
        transform("n", "set_to_server_value", 0),
        transform("", "increment", 1),
        transform("__n__", "increment", 1),
        transform("n", "append_missing_elements", [[1]]),
        m.PropertyTransform(property="n"),
    ],
)
def test_what_makes_no_sense_is_refused(api: Api, wrong: Any) -> None:
    with pytest.raises(Refused, match="n|name"):
        apply(api, wrong)


def test_a_delete_has_no_transforms(api: Api) -> None:
    mutation = delete(A)
    mutation.property_transforms.append(transform("n", "increment", 1))
    with pytest.raises(Refused):
        api.commit(mutation)
