"""Random operations against our Datastore and against the model: they always agree."""

from __future__ import annotations

import random
from typing import Any

import grpc
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule
from localcloud.datastore import query_batch, query_stream
from localcloud.datastore.errors import Refused
from localcloud.datastore.service import Service, Settings

from tests.datastore import model
from tests.datastore.api import (
    Api,
    StandingClock,
    condition,
    delete,
    either,
    every,
    insert,
    key,
    path_of,
    plain,
    properties,
    query,
    update,
    upsert,
)

NAMES = ("p", "q", "r")
scalars = st.sampled_from([None, -3, 0, 1, 2, 3, False, True, "", "a", "ab", "b", -0.5, 2.0])
contents = st.dictionaries(st.sampled_from(NAMES), st.one_of(scalars, scalars, st.lists(scalars, max_size=3)))
paths = st.one_of(
    st.tuples(st.just("K"), st.integers(1, 6)),
    st.tuples(st.just("R"), st.integers(1, 2), st.just("K"), st.sampled_from([1, "a", "b"])),
)
comparisons = st.one_of(
    st.tuples(st.sampled_from(NAMES), st.sampled_from(["=", "=", "=", "<", "<=", ">", ">="]), scalars),
    st.tuples(
        st.sampled_from(NAMES), st.just("in"), st.lists(scalars, min_size=1, max_size=3, unique_by=repr)
    ),
)
orders = st.lists(st.sampled_from(["p", "-p", "q", "-q"]), max_size=2, unique_by=lambda each: each[-1])


@st.composite
def questions(draw: st.DrawFn) -> model.Asked:
    """A query that the API allows."""
    shape = draw(st.sampled_from(["and", "and", "or", "not", "projection", "distinct"]))
    filters: list[list[Any]] = [draw(st.lists(comparisons, max_size=3))]
    projection: tuple[str, ...] = ()
    distinct: tuple[str, ...] = ()
    given = tuple(draw(orders))
    if shape == "or":
        filters = draw(st.lists(st.lists(comparisons, min_size=1, max_size=2), min_size=2, max_size=3))
    elif shape == "not":
        negation = draw(st.sampled_from([("p", "!=", 1), ("q", "!=", None), ("p", "not in", [1, "a", None])]))
        filters = [[*(each for each in filters[0] if each[1] != "in"), negation]]
    elif shape == "projection":
        filters = [[each for each in filters[0] if each[1] not in ("=", "in")]]
        projection = tuple(draw(st.lists(st.sampled_from(NAMES), min_size=1, max_size=2, unique=True)))
    elif shape == "distinct":
        distinct = tuple(draw(st.lists(st.sampled_from(NAMES), min_size=1, max_size=2, unique=True)))
        filters = [[each for each in filters[0] if each[0] not in distinct]]
        given = ()
    return model.Asked(
        kind="K",
        alternatives=tuple(_expanded(filters)),
        orders=given,
        ancestor=draw(st.sampled_from([None, None, ("R", 1)])),
        projection=projection,
        distinct=distinct,
        offset=draw(st.sampled_from([0, 0, 0, 1, 3])),
        limit=draw(st.sampled_from([None, None, None, 0, 1, 4])),
    )


def _expanded(filters: list[list[Any]]) -> list[tuple[Any, ...]]:
    """With each IN written as its alternatives, by its definition."""
    result: list[tuple[Any, ...]] = []
    for conditions in filters:
        some: list[tuple[Any, ...]] = [()]
        for name, operator, operand in conditions:
            choices = (
                [(name, "=", each) for each in operand] if operator == "in" else [(name, operator, operand)]
            )
            some = [(*left, right) for left in some for right in choices]
        result += some
    return result


def as_query(asked: model.Asked) -> Any:
    """The Query message of a question."""
    alternatives = [
        every(*(condition(*each) for each in conditions)) if conditions else None
        for conditions in asked.alternatives
    ]
    filters: list[Any] = []
    if len(alternatives) > 1:
        filters.append(either(*alternatives))
    elif alternatives[0] is not None:
        filters.append(alternatives[0])
    if asked.ancestor:
        filters.append(("__key__", "ancestor", key(*asked.ancestor)))
    return query(
        "K",
        *filters,
        order=asked.orders,
        projection=asked.projection,
        distinct=asked.distinct,
        offset=asked.offset,
        limit=asked.limit,
    )


def seen(result: Any, asked: model.Asked) -> tuple[Any, dict[str, Any]]:
    shown = {name: plain(each) for name, each in result.entity.properties.items()}
    return path_of(result.entity.key), shown if asked.projection else {}


class Machine(RuleBasedStateMachine):
    """Writes, transactions, queries and reads of the past, on both."""

    @initialize(few=st.sampled_from([0, 3, 1000]), batch=st.sampled_from([1, 2, 500]))
    def begin(self, few: int, batch: int) -> None:
        self.clock = StandingClock()
        self.service = Service(Settings(clock=self.clock, chance=random.Random(1), lock_wait_seconds=0.0))
        self.api = Api(self.service)
        self.entities: model.Entities = {}
        self.past: list[tuple[int, model.Entities]] = []
        self.patch = pytest.MonkeyPatch()
        # The ways of reading must all give the same.
        self.patch.setattr(query_stream, "_FEW", few)
        self.patch.setattr(query_batch, "MAX_RESULTS", batch)

    def teardown(self) -> None:
        if hasattr(self, "service"):
            self.service.close()
            self.patch.undo()

    @rule(
        operations=st.lists(
            st.tuples(st.sampled_from(["upsert", "upsert", "insert", "update", "delete"]), paths, contents),
            min_size=1,
            max_size=4,
            unique_by=lambda each: each[1],
        ),
        in_transaction=st.booleans(),
    )
    def write(self, operations: list[Any], in_transaction: bool) -> None:
        after = dict(self.entities)
        expected = None
        mutations = []
        for operation, path, content in operations:
            if operation == "delete":
                after.pop(path, None)
                mutations.append(delete(path))
                continue
            if operation == "insert" and path in after:
                expected = expected or grpc.StatusCode.ALREADY_EXISTS
            if operation == "update" and path not in after:
                expected = expected or grpc.StatusCode.NOT_FOUND
            after[path] = content
            make = {"upsert": upsert, "insert": insert, "update": update}[operation]
            mutations.append(make(path, **content))
        transaction = self.api.begin() if in_transaction else None
        try:
            self.api.commit(*mutations, transaction=transaction)
        except Refused as refused:
            assert refused.code is expected
        else:
            assert expected is None
            self.entities = after

    @rule()
    def remember(self) -> None:
        self.past.append((self.clock(), dict(self.entities)))

    @rule(some=st.lists(paths, min_size=1, max_size=4, unique=True))
    def look_up(self, some: list[model.Path]) -> None:
        found = {path_of(each.entity.key): properties(each.entity) for each in self.api.lookup(*some).found}
        assert found == {path: self.entities[path] for path in some if path in self.entities}

    @rule(asked=questions())
    def ask(self, asked: model.Asked) -> None:
        self.compare(asked, self.entities, {})

    @precondition(lambda self: self.past)
    @rule(asked=questions(), data=st.data())
    def ask_the_past(self, asked: model.Asked, data: st.DataObject) -> None:
        moment, entities = data.draw(st.sampled_from(self.past))
        self.compare(asked, entities, {"read_time": moment})

    @rule(asked=questions())
    def count(self, asked: model.Asked) -> None:
        expected = len(model.find(self.entities, asked))
        assert self.api.aggregate(as_query(asked), ("count", "n")) == {"n": expected}

    @rule(asked=questions(), data=st.data())
    def page(self, asked: model.Asked, data: st.DataObject) -> None:
        """From any result's cursor on, and up to it, there is the rest."""
        results = self.api.find(as_query(asked))
        if not results:
            return
        position = data.draw(st.integers(0, len(results) - 1))
        rest = as_query(asked)
        rest.start_cursor = results[position].cursor
        rest.offset = 0
        if asked.limit is not None:
            rest.limit.value = asked.limit - position - 1
        names = [seen(each, asked) for each in results]
        assert [seen(each, asked) for each in self.api.find(rest)] == names[position + 1 :]
        head = as_query(asked)
        head.end_cursor = results[position].cursor
        assert [seen(each, asked) for each in self.api.find(head)] == names[: position + 1]

    def compare(self, asked: model.Asked, entities: model.Entities, options: dict[str, Any]) -> None:
        found = [seen(each, asked) for each in self.api.find(as_query(asked), **options)]
        assert found == model.find(entities, asked)


Machine.TestCase.settings = settings(
    max_examples=30,
    stateful_step_count=40,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
)
TestOurDatastoreAndTheModelAlwaysAgree = Machine.TestCase
