"""The same random operations against our Datastore and Google's Firestore emulator in Datastore mode.

Known differences, which are therefore not among the operations:
- The emulator lists an entity with an array once per element; the real service and we list it once.
- It lets the server's value be overwritten in spite of a conflict that it was asked to detect.
- It sets the commit time of non-transactional commits, too.
- It lacks the metadata kinds, ignores explain options, and answers a sixth aggregation with UNKNOWN.
- Cursors, the wording of messages, and the times are each server's own.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from typing import Any

import grpc
import pytest
from bench.official_emulators import OfficialEmulator
from localcloud.datastore import messages as m
from localcloud.datastore.errors import Refused

from tests.datastore.api import (
    PROJECT,
    Api,
    condition,
    delete,
    either,
    insert,
    key,
    path_of,
    properties,
    query,
    update,
    upsert,
)

VALUES = [None, -3, 0, 1, 2, 3, False, True, "", "a", "ab", b"b", -0.5, 2.0, 0.0, -0.0]
PATHS: list[Any] = [("K", number) for number in range(1, 8)]
PATHS += [("R", number, "K", name) for number in (1, 2) for name in (1, "a", "b")]


@pytest.fixture(scope="module")
def emulator() -> Iterator[grpc.Channel]:
    official = OfficialEmulator("firestore")
    if not official.is_installed:
        pytest.skip("Google's Firestore emulator is not installed (gcloud components install, and Java)")
    with official, grpc.insecure_channel(official.address) as channel:
        yield channel


class Remote(Api):
    """The emulator behind the same calls."""

    def __init__(self, channel: grpc.Channel) -> None:
        super().__init__(None)  # type: ignore[arg-type]
        self._channel = channel

    def call(self, method: str, response: Any, request: Any) -> Any:
        request.project_id = PROJECT
        channel: Any = self._channel
        call = channel.unary_unary(f"/google.datastore.v1.Datastore/{method}")
        try:
            return response.FromString(call(request.SerializeToString(), timeout=60, wait_for_ready=True))
        except grpc.RpcError as error:
            if error.code() in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED):
                pytest.skip(f"the official emulator went away, or is too slow: {error.details()}")
            raise Refused(error.code(), error.details() or "") from None


def outcome(call: Callable[[], Any]) -> Any:
    """What a call returns, or the code with which it is refused."""
    try:
        return call()
    except Refused as refused:
        return refused.code


def random_mutation(chance: random.Random, path: Any) -> Any:
    content: dict[str, Any] = {name: chance.choice(VALUES) for name in "pqr" if chance.random() < 0.7}
    if chance.random() < 0.3:
        content["e"] = {"x": chance.choice(VALUES)}
    make = chance.choice([upsert, upsert, upsert, insert, update, delete])
    if make is delete:
        return delete(path)
    mutation = make(path, **content)
    if chance.random() < 0.2:
        mutation.property_mask.paths.extend(chance.sample(["p", "q", "e.x"], chance.randrange(3)))
    if chance.random() < 0.3:
        transform = mutation.property_transforms.add(property=chance.choice(["p", "q"]))
        kind = chance.choice(["increment", "maximum", "minimum"])
        getattr(transform, kind).integer_value = chance.randrange(-5, 5)
    return mutation


def random_query(chance: random.Random) -> Any:
    def some() -> Any:
        name = chance.choice(["p", "q", "r", "e.x"])
        operator = chance.choice(["=", "=", "<", "<=", ">", ">=", "in"])
        return condition(
            name, operator, chance.sample(VALUES, 2) if operator == "in" else chance.choice(VALUES)
        )

    filters = [some() for _ in range(chance.choice([0, 1, 1, 2]))]
    shape = chance.randrange(6)
    if shape == 0:
        filters.append(either(some(), some()))
    elif shape == 1:
        filters.append(condition("p", chance.choice(["!=", "not in"]), 1))
        if filters[-1].property_filter.op == m.PropertyFilter.Operator.Value("NOT_IN"):
            filters = [condition("p", "not in", [1, "a"])]
    if chance.random() < 0.25:
        filters.append(condition("__key__", "ancestor", key("R", 1)))
    order = chance.sample(["p", "-q", "r"], chance.choice([0, 0, 1, 2]))
    order = [("-" if chance.random() < 0.5 else "") + name.lstrip("-") for name in order]
    if chance.random() < 0.2:
        order.append(chance.choice(["__key__", "-__key__"]))
    return query(
        "K",
        *filters,
        order=order,
        projection=chance.sample(["p", "q", "r"], chance.choice([0, 0, 0, 1, 2])),
        distinct=chance.sample(["p", "q"], chance.choice([0, 0, 0, 0, 1, 2])),
        limit=chance.choice([None, None, 0, 2, 5]),
        offset=chance.choice([0, 0, 0, 2]),
    )


def as_seen(results: list[Any]) -> list[Any]:
    return [(path_of(each.entity.key), repr(sorted(properties(each.entity).items()))) for each in results]


def in_order(outcome: Any) -> str:
    """The aggregations by name: a message's map comes in any order. As text, for NaN equals nothing."""
    return repr(sorted(outcome.items()) if isinstance(outcome, dict) else outcome)


def both(apis: tuple[Api, Api], call: Callable[[Api], Any]) -> list[Any]:
    return [outcome(lambda: call(apis[0])), outcome(lambda: call(apis[1]))]


@pytest.mark.parametrize("seed", range(3))
def test_both_answer_alike(api: Api, emulator: grpc.Channel, seed: int) -> None:
    chance = random.Random(seed)
    apis = api, Remote(emulator)
    apis[1].commit(*map(delete, PATHS))
    for _ in range(25):
        some = [random_mutation(chance, path) for path in chance.sample(PATHS, chance.randrange(1, 4))]
        ours, theirs = both(apis, lambda api, some=some: bool(api.commit(*some, mode="SINGLE_USE")))  # type: ignore[misc]
        assert ours == theirs, some
        ours, theirs = both(apis, lambda api: sorted(as_seen(api.lookup(*PATHS).found), key=repr))
        assert ours == theirs, some
        for _ in range(6):
            asked = random_query(chance)
            ours, theirs = both(apis, lambda api, asked=asked: as_seen(api.find(asked)))  # type: ignore[misc]
            assert ours == theirs, asked
            del asked.projection[:]
            name = chance.choice("pq")
            wanted = [("sum", "s", name), ("avg", "a", name), ("count", "n", 4)]
            ours, theirs = both(apis, lambda api, asked=asked, wanted=wanted: api.aggregate(asked, *wanted))  # type: ignore[misc]
            assert in_order(ours) == in_order(theirs), asked
