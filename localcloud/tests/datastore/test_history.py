"""What time does: reads of the past, its end, and TTL policies."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import grpc
import pytest
from localcloud.datastore import messages as m
from localcloud.datastore.clock import SECOND_US
from localcloud.datastore.errors import Refused
from localcloud.datastore.housekeeping import Housekeeper

from tests.datastore.api import Api, StandingClock, delete, entity, query, upsert, value

A = ("Thing", "a")
B = ("Thing", "b")


def test_the_past_can_be_read_by_key_by_query_and_by_transaction(api: Api, clock: StandingClock) -> None:
    moments = [clock()]
    for change in (upsert(A, n=1), upsert(B, n=5), upsert(A, n=2), delete(A), upsert(A, n=3)):
        api.commit(change)
        moments.append(clock())
    assert [api.get(*A, read_time=moment) for moment in moments] == [
        None, {"n": 1}, {"n": 1}, {"n": 2}, None, {"n": 3},
    ]  # fmt: skip
    by_order = [api.names(query("Thing", order=["-n"]), read_time=moment) for moment in moments]
    assert by_order == [[], ["a"], ["b", "a"], ["b", "a"], ["b"], ["b", "a"]]
    by_filter = [api.names(query("Thing", ("n", "=", 1)), read_time=moment) for moment in moments]
    assert by_filter == [[], ["a"], ["a"], [], [], []]
    kindless = [len(api.find(query(), read_time=moment)) for moment in moments]
    assert kindless == [0, 1, 2, 2, 1, 2]
    transaction = api.begin(read_only=True, read_time=moments[2])
    assert api.get(*A, transaction=transaction) == {"n": 1}


def test_a_time_that_was_read_does_not_change_afterwards(api: Api, clock: StandingClock) -> None:
    api.commit(upsert(A, n=1))
    moment = clock.now
    assert api.get(*A, read_time=moment) == {"n": 1}
    clock.now -= 1000
    api.commit(upsert(A, n=2))
    assert api.get(*A, read_time=moment) == {"n": 1}


def test_versions_grow_though_the_clock_is_set_back(api: Api, clock: StandingClock) -> None:
    first = api.commit(upsert(A, n=1)).mutation_results[0].version
    clock.now -= 3600 * SECOND_US
    assert api.commit(upsert(A, n=2)).mutation_results[0].version > first


@pytest.mark.parametrize(
    ("seconds", "code"),
    [(5.0, grpc.StatusCode.INVALID_ARGUMENT), (-3601.0, grpc.StatusCode.FAILED_PRECONDITION)],
)
def test_a_read_time_lies_within_the_past_hour(
    api: Api, clock: StandingClock, seconds: float, code: grpc.StatusCode
) -> None:
    with pytest.raises(Refused) as refused:
        api.get(*A, read_time=clock.now + int(seconds * SECOND_US))
    assert refused.value.code is code


def test_a_read_time_has_microseconds(api: Api, clock: StandingClock) -> None:
    request = m.LookupRequest()
    m.set_timestamp(request.read_options.read_time, clock.now)
    request.read_options.read_time.nanos += 1
    with pytest.raises(Refused, match="microsecond"):
        api.call("Lookup", m.LookupResponse, request)


def past_rows(api: Api) -> int:
    with api.service.storage.reading() as connection:
        tables = ("past_entity", "past_index_row")
        return sum(connection.execute(f"SELECT count(*) FROM {each}").fetchone()[0] for each in tables)


def test_the_past_is_kept_for_an_hour_and_then_forgotten(api: Api, clock: StandingClock) -> None:
    api.commit(upsert(A, n=1))
    api.commit(upsert(A, n=2))
    housekeeper = Housekeeper(api.service)
    clock.advance(3500)
    housekeeper.prune()
    assert past_rows(api) == 2
    clock.advance(200)
    housekeeper.prune()
    assert past_rows(api) == 0
    assert api.get(*A) == {"n": 2}


def test_an_open_snapshot_keeps_its_past(make_api: Callable[..., Api], clock: StandingClock) -> None:
    api = make_api(transaction_idle_seconds=9999.0, transaction_seconds=9999.0)
    api.commit(upsert(A, n=1))
    transaction = api.begin(read_only=True)
    api.commit(upsert(A, n=2))
    clock.advance(3700)
    Housekeeper(api.service).prune()
    assert api.get(*A, transaction=transaction) == {"n": 1}


def record(name: str, expires: Any) -> Any:
    return m.Mutation(upsert=entity(("Record", name), {"at": expires, "n": 1}, unindexed=["at"]))


def test_a_ttl_policy_deletes_what_has_expired_and_nothing_else(
    make_api: Callable[..., Api], clock: StandingClock
) -> None:
    api = make_api(ttl=[("Record", "at")])
    now = datetime.fromtimestamp(clock.now / SECOND_US, UTC).replace(tzinfo=None)
    later = datetime.fromtimestamp(clock.now / SECOND_US + 60, UTC).replace(tzinfo=None)
    api.commit(
        record("past", now), record("later", later), record("number", 5), record("null", None),
        upsert(("Record", "none")), upsert(("Record", "past", "Child", "c")), upsert(("Other", "o"), at=now),
    )  # fmt: skip
    elsewhere = Api(api.service, namespace="elsewhere", database="another")
    elsewhere.commit(upsert(elsewhere.key("Record", "past"), at=now))
    api.service.sweeper.sweep()
    assert api.names(query("Record")) == ["later", "none", "null", "number"]
    assert elsewhere.names(query("Record")) == []
    assert api.get("Record", "past", "Child", "c") == {}
    assert api.get("Other", "o") is not None
    assert api.service.counts.as_json()["deletes"] == 2
    clock.advance(61)
    api.service.sweeper.sweep()
    assert api.names(query("Record")) == ["none", "null", "number"]


def test_a_sweep_goes_page_by_page_and_leaves_what_a_transaction_holds(
    make_api: Callable[..., Api], clock: StandingClock
) -> None:
    api = make_api(ttl=[("Record", "at")])
    past = value(1)
    past.timestamp_value.seconds = 1
    api.commit(*(record(f"r{number:04}", past) for number in range(1100)))
    transaction = api.begin()
    api.lookup(("Record", "r1099"), transaction=transaction)
    api.service.sweeper.sweep()
    assert api.names(query("Record")) == [f"r{number:04}" for number in range(1000, 1100)]
    api.rollback(transaction)
    api.service.sweeper.sweep()
    assert api.names(query("Record")) == []
