"""RunQuery: filters, orders, projections, cursors, batches, and what is refused."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import grpc
import pytest
from localcloud.datastore import messages as m
from localcloud.datastore import query_batch
from localcloud.datastore.errors import Refused

from tests.datastore.api import (
    Api,
    StandingClock,
    condition,
    delete,
    either,
    entity,
    every,
    key,
    path_of,
    properties,
    query,
    upsert,
)

More = m.QueryResultBatch.MoreResultsType


def put(api: Api, kind: str, **entities: dict[str, Any]) -> None:
    api.commit(*(upsert(api.key(kind, name), **content) for name, content in entities.items()))


@pytest.fixture
def numbers(api: Api) -> Api:
    put(
        api,
        "N",
        a={"x": 3, "y": 1},
        b={"x": 1, "y": 1},
        c={"x": 2, "y": 2},
        d={"x": 2, "y": 3},
        e={"y": 9},
        f={"x": None, "y": 0},
    )
    return api


@pytest.mark.parametrize(
    ("filters", "order", "expected"),
    [
        ([], [], "abcdef"),
        ([("x", "=", 2)], [], "cd"),
        ([("x", "=", None)], [], "f"),
        ([("x", "<", 3)], [], "fbcd"),
        ([("x", "<=", 2)], ["-x"], "dcbf"),
        ([("x", ">", 1)], [], "cda"),
        ([("x", ">=", 2), ("x", "<", 3)], [], "cd"),
        ([("x", "!=", 2)], [], "fba"),
        ([("x", "in", [3, 1, 7])], [], "ab"),
        ([("x", "in", [3, 1, 7])], ["x"], "ba"),
        ([("x", "not in", [2, None])], [], "ba"),
        ([("x", "=", 2), ("y", "=", 3)], [], "d"),
        ([("x", ">", 0), ("y", ">", 1)], [], "cd"),
        ([("y", "=", 1)], ["x"], "ba"),
        ([("y", "=", 1)], ["-x"], "ab"),
        ([], ["x", "-y"], "fbdca"),
        ([], ["-x", "y"], "acdbf"),
        ([], ["-y"], "edcbaf"),
        ([("x", ">", 0)], ["y"], "bacd"),
        ([], ["-__key__"], "fedcba"),
        ([("__key__", ">", key("N", "b")), ("__key__", "<=", key("N", "d"))], [], "cd"),
        ([("__key__", "=", key("N", "b"))], [], "b"),
        ([("__key__", "in", [key("N", "b"), key("N", "e")])], [], "be"),
        ([("__key__", "!=", key("N", "b"))], [], "acdef"),
        ([("x", "=", 2), ("__key__", ">", key("N", "c"))], [], "d"),
        ([either(condition("x", "=", 3), condition("y", "=", 1))], [], "ab"),
        ([either(condition("x", ">", 2), condition("y", "=", 2))], [], "ca"),
        (
            [either(every(condition("x", "=", 2), condition("y", "=", 3)), condition("y", "=", 9))],
            [],
            "de",
        ),
        ([either(condition("x", "=", 3), condition("y", "=", 9)), ("y", ">", 0)], [], "ae"),
        ([("nothing", "=", 1)], [], ""),
        ([("x", ">", 2), ("x", "<", 2)], [], ""),
    ],
)
def test_filters_and_orders(numbers: Api, filters: list[Any], order: list[str], expected: str) -> None:
    assert "".join(numbers.names(query("N", *filters, order=order))) == expected


@pytest.mark.parametrize(
    ("filters", "order", "expected"),
    [
        ([("t", ">", 2)], [], ["two", "one"]),
        ([("t", ">", 2)], ["-t"], ["one", "two"]),
        ([], ["t"], ["one", "two"]),
        ([], ["-t"], ["one", "two"]),
        ([("t", "!=", 3)], [], ["one"]),
        ([("t", "=", 1), ("t", "=", 50)], [], ["one"]),
        ([("t", ">", 5), ("t", "<", 50)], [], []),
        ([("t", "in", [50, 3])], [], ["one", "two"]),
        ([("t", "in", [50, 3])], ["t"], ["two", "one"]),
        ([("t", "not in", [1, 5, 50])], [], ["two"]),
        ([("t", "=", 1), ("t", ">", 10)], [], []),
    ],
)
def test_of_an_array_each_element_is_indexed_and_the_entity_is_listed_once(
    api: Api, filters: list[Any], order: list[str], expected: list[str]
) -> None:
    put(api, "M", one={"t": [1, 5, 50]}, two={"t": [3]}, three={"t": []}, four={})
    assert api.names(query("M", *filters, order=order)) == expected


def test_a_page_boundary_does_not_list_an_array_twice(api: Api) -> None:
    put(api, "M", one={"t": [1, 5, 50]}, two={"t": [3, 60]}, three={"t": [4]})
    for order in ("t", "-t"):
        cursor, names = b"", []
        for _ in range(4):
            batch = api.batch(query("M", order=[order], limit=1, start=cursor))
            names += [path_of(each.entity.key)[-1] for each in batch.entity_results]
            cursor = batch.end_cursor
        assert sorted(names) == ["one", "three", "two"]


def test_embedded_entities_are_found_by_path(api: Api) -> None:
    put(api, "E", a={"in": {"x": 5, "deep": {"y": [1, 2]}}}, b={"in": {"x": 6}}, c={"in": 5})
    assert api.names(query("E", ("in.x", "=", 5))) == ["a"]
    assert api.names(query("E", ("in.deep.y", "=", 2))) == ["a"]
    assert api.names(query("E", order=["-in.x"])) == ["b", "a"]
    assert api.names(query("E", order=["in"])) == ["c"]


def test_what_is_excluded_from_indexes_is_found_by_no_property(api: Api) -> None:
    api.commit(m.Mutation(upsert=entity(("X", 1), {"a": 1, "b": 2}, unindexed=["a"])))
    assert api.names(query("X", ("a", "=", 1))) == []
    assert api.names(query("X", order=["a"])) == []
    assert api.names(query("X", ("b", "=", 2))) == [1]


def test_ancestors_and_kindless_queries(api: Api) -> None:
    root, child, grandchild = ("R", 1), ("R", 1, "C", 1), ("R", 1, "C", 1, "R", 5)
    api.commit(*(upsert(each, n=1) for each in (root, child, grandchild, ("R", 10), ("R", 2, "C", 1))))
    below = ("__key__", "ancestor", key(*root))
    assert [path_of(each.entity.key) for each in api.find(query(None, below))] == [root, child, grandchild]
    assert [path_of(each.entity.key) for each in api.find(query("R", below))] == [root, grandchild]
    assert [path_of(each.entity.key) for each in api.find(query("C", below, ("n", "=", 1)))] == [child]
    assert [path_of(each.entity.key) for each in api.find(query("R", below, ("n", ">", 0)))] == [
        root,
        grandchild,
    ]
    assert len(api.find(query())) == 5
    assert len(api.find(query(None, ("__key__", ">", key(*child))))) == 3


def test_keys_only_and_projection_results(api: Api) -> None:
    moment = datetime(2020, 1, 2)
    put(api, "P", a={"s": "x", "t": [2, 1], "at": moment, "u": 1}, b={"s": "y"})
    batch = api.batch(query("P", projection=["__key__"]))
    assert batch.entity_result_type == m.EntityResult.ResultType.Value("KEY_ONLY")
    assert [properties(each.entity) for each in batch.entity_results] == [{}, {}]
    batch = api.batch(query("P", projection=["t", "s"]))
    assert batch.entity_result_type == m.EntityResult.ResultType.Value("PROJECTION")
    assert [properties(each.entity) for each in batch.entity_results] == [
        {"s": "x", "t": 1},
        {"s": "x", "t": 2},
    ]
    found = api.find(query("P", projection=["at"]))[0].entity.properties["at"]
    assert found.integer_value == 1_577_923_200_000_000
    assert found.meaning == 18
    assert [properties(each.entity) for each in api.find(query("P", ("t", ">", 1), projection=["t"]))] == [
        {"t": 2}
    ]


def test_distinct_gives_the_first_of_each_combination(api: Api) -> None:
    put(api, "D", a={"x": 1, "y": 2}, b={"x": 1, "y": 1}, c={"x": 2, "y": 1}, d={"x": 2, "y": 1})
    assert api.names(query("D", distinct=["x"])) == ["a", "c"]
    assert api.names(query("D", distinct=["x"], order=["-x", "y"])) == ["c", "b"]
    assert len(api.find(query("D", projection=["x", "y"], distinct=["x", "y"]))) == 3
    cursor = api.batch(query("D", distinct=["x"], limit=1)).end_cursor
    assert api.names(query("D", distinct=["x"], start=cursor)) == ["c"]


def test_limits_and_offsets_say_whether_there_is_more(numbers: Api) -> None:
    def told(**options: int) -> tuple[int, int, str]:
        batch = numbers.batch(query("N", **options))  # type: ignore[arg-type]
        return len(batch.entity_results), batch.skipped_results, More.Name(batch.more_results)

    assert told() == (6, 0, "NO_MORE_RESULTS")
    assert told(limit=0) == (0, 0, "MORE_RESULTS_AFTER_LIMIT")
    assert told(limit=4) == (4, 0, "MORE_RESULTS_AFTER_LIMIT")
    assert told(limit=6) == (6, 0, "NO_MORE_RESULTS")
    assert told(offset=4, limit=1) == (1, 4, "MORE_RESULTS_AFTER_LIMIT")
    assert told(offset=9) == (0, 6, "NO_MORE_RESULTS")


@pytest.mark.parametrize("order", [[], ["x"], ["-x"], ["y", "-x"], ["-__key__"]])
def test_every_cursor_names_its_place_from_both_sides(numbers: Api, order: list[str]) -> None:
    names = numbers.names(query("N", order=order))
    results = numbers.find(query("N", order=order))
    for position, result in enumerate(results, 1):
        assert numbers.names(query("N", order=order, start=result.cursor)) == names[position:]
        assert numbers.names(query("N", order=order, end=result.cursor)) == names[:position]
    batch = numbers.batch(query("N", order=order, end=results[1].cursor))
    assert More.Name(batch.more_results) == "MORE_RESULTS_AFTER_CURSOR"
    batch = numbers.batch(query("N", order=order, offset=2, limit=1))
    assert numbers.names(query("N", order=order, start=batch.skipped_cursor)) == names[2:]


def test_a_cursor_sees_what_was_written_after_it_and_survives_the_loss_of_its_entity(numbers: Api) -> None:
    cursor = numbers.batch(query("N", limit=3)).end_cursor
    numbers.commit(upsert(("N", "cc")), delete(("N", "c")))
    assert numbers.names(query("N", start=cursor)) == ["cc", "d", "e", "f"]


def test_a_cursor_of_another_query_and_nonsense_are_refused(numbers: Api) -> None:
    cursor = numbers.batch(query("N", limit=1)).end_cursor
    for wrong in (
        query("N", order=["x"], start=cursor),
        query("Other", start=cursor),
        query("N", start=b"nonsense"),
        query("N", end=cursor[:-1]),
        query("N", start=cursor + b"\x00\x00\x00\x09x"),
    ):
        with pytest.raises(Refused, match="cursor"):
            numbers.batch(wrong)


@pytest.fixture
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(query_batch, "MAX_RESULTS", 3)


def test_a_query_in_batches_sees_one_state_while_others_write(numbers: Api, small_batches: None) -> None:
    for order in ([], ["y"], ["-y"]):
        expected = numbers.names(query("N", order=order))
        first = numbers.batch(query("N", order=order))
        assert More.Name(first.more_results) == "NOT_FINISHED"
        numbers.commit(
            upsert(("N", "bb"), y=1), upsert(("N", "dd"), y=8), delete(("N", "e")), upsert(("N", "f"), y=5)
        )
        rest = numbers.names(query("N", order=order, start=first.end_cursor))
        names = [path_of(each.entity.key)[-1] for each in first.entity_results] + rest
        assert names == expected
        assert "dd" in numbers.names(query("N", order=order))
        numbers.commit(
            delete(("N", "bb")), delete(("N", "dd")), upsert(("N", "e"), y=9), upsert(("N", "f"), x=None, y=0)
        )


def test_batches_go_on_in_the_present_once_their_past_is_gone(
    numbers: Api, small_batches: None, clock: StandingClock
) -> None:
    first = numbers.batch(query("N"))
    numbers.commit(delete(("N", "e")))
    clock.advance(3700)
    assert numbers.names(query("N", start=first.end_cursor)) == ["d", "f"]


def test_large_results_are_split_by_size(api: Api) -> None:
    for number in range(12):
        api.commit(m.Mutation(upsert=entity(("L", number + 1), {"s": "x" * 900_000}, unindexed="s")))
    batch = api.batch(query("L"))
    assert len(batch.SerializeToString()) < 4_000_000
    assert More.Name(batch.more_results) == "NOT_FINISHED"
    assert api.names(query("L")) == list(range(1, 13))


def test_a_property_mask_bounds_what_a_query_returns(numbers: Api) -> None:
    mask = m.LookupRequest().property_mask
    mask.paths.append("y")
    batch = numbers.run(query("N", limit=1), property_mask=mask).batch
    assert properties(batch.entity_results[0].entity) == {"y": 1}


@pytest.mark.parametrize(
    "wrong",
    [
        m.Query(kind=[{"name": "A"}, {"name": "B"}]),
        m.Query(kind=[{"name": ""}]),
        query("N", limit=-1),
        query("N", offset=-1),
        query("N", ("x", "in", [])),
        query("N", ("x", "in", list(range(31)))),
        query("N", ("x", "not in", list(range(11)))),
        query("N", ("x", "!=", 1), ("y", "!=", 1)),
        query("N", ("x", "not in", [1]), ("y", "in", [1, 2])),
        query("N", ("x", "in", list(range(6))), ("y", "in", list(range(6)))),
        query("N", ("x", "=", [1])),
        query("N", ("x", "=", {"a": 1})),
        query("N", ("x", "ancestor", key("N", 1))),
        query("N", ("__key__", "=", "text")),
        query("N", ("__key__", ">", key("N"))),
        query("N", ("__key__", "=", key("N", 1, namespace="other"))),
        query("N", ("__key__", "ancestor", key("N", 1)), ("__key__", "ancestor", key("N", 2))),
        query("N", either(condition("__key__", "ancestor", key("N", 1)), condition("x", "=", 2))),
        query("N", either()),
        query("N", ("", "=", 1)),
        query("N", m.Filter()),
        query("N", m.Filter(property_filter={"property": {"name": "x"}, "value": {"integer_value": 1}})),
        query("N", ("x", "=", 1), projection=["x"]),
        query("N", projection=["x", "x"]),
        query("N", distinct=["x"], order=["y"]),
        query("N", distinct=["__key__"]),
        query("N", ("x", "=", 1), distinct=["x"]),
        query(None, ("x", "=", 1)),
        query(None, order=["x"]),
        query(None, order=["-__key__"]),
        query(None, projection=["x"]),
        m.Query(order=[{"property": {"name": ""}}]),
        m.Query(order=[{"property": {"name": "x"}, "direction": 7}]),
    ],
)
def test_what_the_api_does_not_allow_is_refused(numbers: Api, wrong: Any) -> None:
    with pytest.raises(Refused) as refused:
        numbers.batch(wrong)
    assert refused.value.code is grpc.StatusCode.INVALID_ARGUMENT


def test_a_query_may_have_100_filters(api: Api) -> None:
    """More than SQLite joins tables."""
    names = [f"p{number}" for number in range(101)]
    api.commit(upsert(("K", 1), **dict.fromkeys(names, 1)), upsert(("K", 2), **dict.fromkeys(names[:-2], 1)))
    api.commit(upsert(("K", 3), **{name: [1, 2] for name in names}))
    filters = [(name, "=", 1) for name in names[:99]]
    assert api.names(query("K", *filters)) == [1, 2, 3]
    assert api.names(query("K", *filters, order=["-p99"])) == [3, 1]
    assert api.aggregate(query("K", *filters, ("p99", "=", 1)), ("count", "n")) == {"n": 2}
    assert api.names(query("K", *(("p5", "=", 1) for _ in range(100)))) == [1, 2, 3]
    with pytest.raises(Refused, match="100 filters"):
        api.names(query("K", *filters, order=["p99", "p100"]))


def test_equal_alternatives_count_once(api: Api) -> None:
    api.commit(upsert(("K", 1), p=1))
    assert api.names(query("K", either(*[condition("p", "=", 1)] * 31))) == [1]


def test_nearest_neighbours_are_unimplemented_and_say_so(api: Api) -> None:
    nearest = query("N")
    nearest.find_nearest.vector_property.name = "v"
    with pytest.raises(Refused, match="find_nearest") as refused:
        api.batch(nearest)
    assert refused.value.code is grpc.StatusCode.UNIMPLEMENTED
