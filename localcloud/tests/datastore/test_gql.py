"""GQL strings: each stands for a Query message, or is refused with its place and what was expected.

What is accepted, and as what, was compared with both official emulators.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import grpc
import pytest
from localcloud.datastore import messages as m
from localcloud.datastore.catalog import Partition
from localcloud.datastore.errors import Refused
from localcloud.datastore.gql import parse_aggregation_query, parse_query

from tests.datastore import api as built
from tests.datastore.api import Api, condition, either, every, key, path_of, upsert, value

HERE = Partition(1, "p", "", "ns")


def query(kind: str | None = None, only: Any = None, **clauses: Any) -> Any:
    """A Query with one filter, as it is."""
    message = built.query(kind, **clauses)
    if only is not None:
        message.filter.CopyFrom(only)
    return message


def gql(
    text: str,
    *positional: Any,
    literals: bool = True,
    named: Mapping[str, Any] | None = None,
    cursors: Mapping[str, bytes] | None = None,
) -> Any:
    """A GqlQuery message; the bindings are plain values."""
    message = m.GqlQuery(query_string=text, allow_literals=literals)
    for each in positional:
        message.positional_bindings.add().value.CopyFrom(value(each))
    for name, each in (named or {}).items():
        message.named_bindings[name].value.CopyFrom(value(each))
    for name, cursor in (cursors or {}).items():
        message.named_bindings[name].cursor = cursor
    return message


def parsed(text: str, *positional: Any, **options: Any) -> Any:
    return parse_query(gql(text, *positional, **options), HERE)


def where(text: str, *positional: Any, **options: Any) -> Any:
    return parsed(f"SELECT * FROM T WHERE {text}", *positional, **options).filter


def refusal(text: str, *positional: Any, **options: Any) -> str:
    with pytest.raises(Refused) as refused:
        parsed(text, *positional, **options)
    assert refused.value.code is grpc.StatusCode.INVALID_ARGUMENT
    return refused.value.message


def in_ns(*path: Any) -> Any:
    return key(*path, project="p", namespace="ns")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("SELECT * FROM T", query("T")),
        ("select*from`T`", query("T")),
        ("SELECT *", query()),
        ("SELECT __key__ FROM T", query("T", projection=["__key__"])),
        ("SELECT a, b.c FROM T", query("T", projection=["a", "b.c"])),
        ("SELECT DISTINCT a FROM T", query("T", projection=["a"], distinct=["a"])),
        ("SELECT DISTINCT ON (a, b) * FROM T", query("T", distinct=["a", "b"])),
        ("SELECT DISTINCT ON (a) a, b FROM T", query("T", projection=["a", "b"], distinct=["a"])),
        ("SELECT * FROM T ORDER BY a, b DESC, c ASC", query("T", order=["a", "-b", "c"])),
        ("SELECT * FROM T LIMIT 3 OFFSET 2", query("T", limit=3, offset=2)),
        ("SELECT * FROM `a ``quoted\\` name`", query("a `quoted` name")),
        ("SELECT * FROM key WHERE first = 1", query("key", condition("first", "=", 1))),
    ],
)
def test_clauses(text: str, expected: Any) -> None:
    assert parsed(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a = 1", condition("a", "=", 1)),
        ("a != -1", condition("a", "!=", -1)),
        ("a.`b c`.d<=+1.5e3", condition("a.b c.d", "<=", 1500.0)),
        ("`select` > .5", condition("select", ">", 0.5)),
        ("1 < a", condition("a", ">", 1)),
        ("1 >= a", condition("a", "<=", 1)),
        ("1 = a", condition("a", "=", 1)),
        ("a IS NULL", condition("a", "=", None)),
        ("a = TRUE", condition("a", "=", True)),
        ("False = a", condition("a", "=", False)),
        ("a IN ARRAY(1, 'x')", condition("a", "in", [1, "x"])),
        ("a IN 1", condition("a", "=", 1)),
        ("a NOT IN ARRAY(1)", condition("a", "not in", [1])),
        ("a CONTAINS 'x'", condition("a", "=", "x")),
        ("'x' IN a", condition("a", "=", "x")),
        ("ARRAY(1, 2) IN a", condition("a", "in", [1, 2])),
        ("__key__ HAS ANCESTOR KEY(K, 1)", condition("__key__", "ancestor", in_ns("K", 1))),
        ("KEY(K, 1) HAS DESCENDANT __key__", condition("__key__", "ancestor", in_ns("K", 1))),
    ],
)
def test_conditions(text: str, expected: Any) -> None:
    assert where(text) == expected


def test_and_binds_more_tightly_than_or() -> None:
    a, b, c = (condition(name, "=", 1) for name in "abc")
    assert where("a = 1 OR b = 1 AND c = 1") == either(a, every(b, c))
    assert where("(a = 1 OR b = 1) AND c = 1") == every(either(a, b), c)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("'it''s'", "it's"),
        ("'it\\'s'", "it's"),
        ("\"it''s\"", "it''s"),
        ('"say ""x"""', 'say "x"'),
        ("'a\\n\\t\\0\\Z\\\\b'", "a\n\t\0\x1a\\b"),
        ("'100\\%'", "100\\%"),
        ("BLOB('aGk')", b"hi"),
        ("BLOB('_-8')", b"\xff\xef"),
        ("9223372036854775807", 2**63 - 1),
        ("-9223372036854775808", -(2**63)),
        ("DATETIME('2020-01-02T03:04:05.25Z')", datetime(2020, 1, 2, 3, 4, 5, 250_000, UTC)),
        ("DATETIME('2020-01-02T05:04:05+02:00')", datetime(2020, 1, 2, 3, 4, 5, 0, UTC)),
        ("KEY(A, 1, `B c`, 'n')", in_ns("A", 1, "B c", "n")),
        ("KEY(NAMESPACE('x'), A, 1)", key("A", 1, project="p", namespace="x")),
        ("KEY(PROJECT('q'), A, 1)", key("A", 1, project="q")),
        (
            "KEY(PROJECT('q'), DATABASE('d'), NAMESPACE('x'), A, 1)",
            key("A", 1, project="q", database="d", namespace="x"),
        ),
    ],
)
def test_literals(text: str, expected: Any) -> None:
    assert where(f"a = {text}") == condition("a", "=", expected)


def test_bindings_by_name_and_by_number() -> None:
    assert where("a = @x", named={"x": 1, "unused": 2}, literals=False) == condition("a", "=", 1)
    assert where("@2 = a AND b IN @1", [1, 2], "y") == every(
        condition("a", "=", "y"), condition("b", "in", [1, 2])
    )
    assert parsed("SELECT * FROM T LIMIT @1", 5, literals=False).limit.value == 5


def test_cursors_come_as_bindings() -> None:
    cursors = {"from": b"one", "to": b"two"}
    found = parsed("SELECT * FROM T LIMIT FIRST(5, @to) OFFSET @from + 2", cursors=cursors)
    assert (found.limit.value, found.end_cursor, found.start_cursor, found.offset) == (5, b"two", b"one", 2)
    assert parsed("SELECT * FROM T LIMIT @to", cursors=cursors).end_cursor == b"two"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", ["line 1, column 1", "ends here", "SELECT"]),
        ("DELETE FROM T", ["column 1", "DELETE", "SELECT"]),
        ("SELECT *\nFROM", ["line 2, column 5", "a kind"]),
        ("SELECT * FROM T WHERE select = 1", ["column 23", "select", "backquotes"]),
        ("SELECT * FROM T WHERE a IN (1, 2)", ["column 28", "ARRAY(1, 2)"]),
        ("SELECT * FROM T WHERE a ~ 1", ["column 25", "'~'"]),
        ("SELECT * FROM T WHERE a = 'x", ["column 27", "not closed"]),
        ("SELECT * FROM T WHERE a = '\\x'", ["column 28", "\\x"]),
        ("SELECT * FROM T WHERE a = b", ["column 27", "a value"]),
        ("SELECT * FROM T WHERE 1 = 1", ["column 27", "a property's name"]),
        ("SELECT * FROM T WHERE (a = 1", ["column 29", ")"]),
        ("SELECT * FROM T WHERE " + "(" * 30, ["20 parentheses"]),
        ("SELECT * FROM T WHERE a = 1e", ["1e", "digits"]),
        ("SELECT * FROM T WHERE a = 9223372036854775808", ["64 bits"]),
        ("SELECT * FROM T WHERE a = " + "9" * 5000, ["64 bits"]),
        ("SELECT * FROM T WHERE a = @" + "9" * 5000, ["no binding"]),
        ("SELECT * FROM T WHERE a = FOO(1)", ["FOO", "KEY, ARRAY, BLOB or DATETIME"]),
        ("SELECT * FROM T WHERE a IN ARRAY(ARRAY(1))", ["an array"]),
        ("SELECT * FROM T WHERE a = KEY(A)", ["column 32", ","]),
        ("SELECT * FROM T WHERE a = KEY(APP('x'), A, 1)", ["APP", "PROJECT"]),
        ("SELECT * FROM T WHERE a = KEY(PROJECT('x'), PROJECT('y'), A, 1)", ["only one project"]),
        ("SELECT * FROM T WHERE a = BLOB('aGk=')", ["base64url"]),
        ("SELECT * FROM T WHERE a = DATETIME('2020-01-01')", ["2020-01-01", "T13:30"]),
        ("SELECT * FROM T WHERE a = DATETIME('2020-02-30T00:00:00Z')", ["2020-02-30"]),
        ("SELECT * FROM T WHERE a = @x", ["@x", "no binding"]),
        ("SELECT * FROM T WHERE a = @1", ["@1", "no binding"]),
        ("SELECT * FROM T LIMIT 1, 2", ["column 24", "OFFSET"]),
        ("SELECT * FROM T OFFSET 1 LIMIT 2", ["column 26", "in this order"]),
        ("SELECT * FROM T LIMIT -1", ["-1", "0 to"]),
        ("SELECT * FROM T LIMIT FIRST(1, 2)", ["a number and a cursor"]),
        ("SELECT s FROM T GROUP BY s", ["GROUP BY", "DISTINCT ON"]),
        ("SELECT COUNT(*) FROM T", ["RunAggregationQuery"]),
    ],
)
def test_a_refusal_tells_the_place_and_what_was_expected(text: str, words: Sequence[str]) -> None:
    message = refusal(text)
    assert message.startswith("GQL")
    assert all(word in message for word in words), message


@pytest.mark.parametrize(
    "text", ["a = 1", "a = 'x'", "a IS NULL", "a = true", "a = KEY(A, 1)", "a IN ARRAY(@1)", "a = 1.5"]
)
def test_literals_need_leave(text: str) -> None:
    assert "disallowed literal" in refusal(f"SELECT * FROM T WHERE {text}", literals=False)


def test_every_positional_binding_is_used_and_names_are_names() -> None:
    assert "binding 2" in refusal("SELECT * FROM T WHERE a = @1", 1, 2)
    assert "'a-b'" in refusal("SELECT * FROM T", named={"a-b": 1})
    assert "'__a__'" in refusal("SELECT * FROM T", named={"__a__": 1})
    assert "cursor" in refusal("SELECT * FROM T WHERE a = @c", cursors={"c": b"x"})
    assert "integer" in refusal("SELECT * FROM T LIMIT @c", named={"c": "x"})


def test_aggregations() -> None:
    aggregations = "COUNT(*) AS n, COUNT_UP_TO(5), SUM(a.b) AS `the sum`, AVG(c)"
    text = f"AGGREGATE {aggregations} OVER (SELECT * FROM T LIMIT 3)"
    found = parse_aggregation_query(gql(text), HERE)
    assert found.nested_query == query("T", limit=3)
    assert [each.WhichOneof("operator") for each in found.aggregations] == ["count", "count", "sum", "avg"]
    assert [each.alias for each in found.aggregations] == ["n", "", "the sum", ""]
    assert found.aggregations[1].count.up_to.value == 5
    simple = parse_aggregation_query(gql("SELECT COUNT(*) FROM T WHERE a = 1"), HERE)
    assert simple.nested_query == query("T", condition("a", "=", 1))
    with pytest.raises(Refused, match="LIMIT"):
        parse_aggregation_query(gql("SELECT COUNT(*) FROM T LIMIT 2"), HERE)
    with pytest.raises(Refused, match="COUNT"):
        parse_aggregation_query(gql("SELECT * FROM T"), HERE)


def run(api: Api, message: Any) -> Any:
    return api.call("RunQuery", m.RunQueryResponse, m.RunQueryRequest(gql_query=message))


def paths(response: Any) -> list[Any]:
    return [path_of(each.entity.key) for each in response.batch.entity_results]


def test_the_answer_tells_the_query_and_its_cursors_bind(api: Api) -> None:
    api.commit(*(upsert(("T", number), n=number) for number in range(1, 6)))
    response = run(api, gql("SELECT * FROM T WHERE n > @1 ORDER BY n LIMIT 2", 1))
    assert response.query == query("T", condition("n", ">", 1), order=["n"], limit=2)
    assert paths(response) == [("T", 2), ("T", 3)]
    cursors = {"c": response.batch.end_cursor}
    response = run(api, gql("SELECT * FROM T WHERE n > 1 ORDER BY n OFFSET @c + 1", cursors=cursors))
    assert paths(response) == [("T", 5)]


def test_an_aggregation_runs(api: Api) -> None:
    api.commit(*(upsert(("T", number), n=number) for number in range(1, 6)))
    request = m.RunAggregationQueryRequest(
        gql_query=gql("SELECT COUNT(*) AS c, SUM(n) AS s FROM T WHERE n > 1")
    )
    response = api.call("RunAggregationQuery", m.RunAggregationQueryResponse, request)
    found = response.batch.aggregation_results[0].aggregate_properties
    assert (found["c"].integer_value, found["s"].integer_value) == (4, 14)
    assert response.query.nested_query == query("T", condition("n", ">", 1))
