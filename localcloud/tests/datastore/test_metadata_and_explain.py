"""The metadata kinds, and explain options."""

from __future__ import annotations

from typing import Any

import pytest
from google.protobuf.json_format import MessageToDict
from localcloud.datastore import messages as m
from localcloud.datastore.errors import Refused

from tests.datastore.api import Api, delete, entity, key, path_of, properties, query, upsert


@pytest.fixture
def some(api: Api) -> Api:
    other = Api(api.service, namespace="other")
    other.commit(upsert(other.key("Only", 1)))
    api.commit(
        m.Mutation(upsert=entity(("A", 1), {"n": 1, "s": "x", "hidden": 1}, unindexed=["hidden"])),
        upsert(("A", 2), n="text", inner={"d": 1.5}),
        upsert(("B", 1), flag=True, ref=key("A", 1), none=None),
    )
    return api


def test_namespaces_are_listed_the_empty_one_by_id(some: Api) -> None:
    assert some.names(query("__namespace__")) == [1, "other"]


def test_kinds_are_listed_as_long_as_they_have_entities(some: Api) -> None:
    assert some.names(query("__kind__")) == ["A", "B"]
    some.commit(delete(("B", 1)))
    assert some.names(query("__kind__")) == ["A"]
    assert Api(some.service, namespace="other").names(query("__kind__")) == ["Only"]


def test_properties_are_listed_with_their_representations(some: Api) -> None:
    found = {path_of(each.entity.key): properties(each.entity) for each in some.find(query("__property__"))}
    assert found == {
        ("__kind__", "A", "__property__", "inner.d"): {"property_representation": ["DOUBLE"]},
        ("__kind__", "A", "__property__", "n"): {"property_representation": ["INT64", "STRING"]},
        ("__kind__", "A", "__property__", "s"): {"property_representation": ["STRING"]},
        ("__kind__", "B", "__property__", "flag"): {"property_representation": ["BOOLEAN"]},
        ("__kind__", "B", "__property__", "none"): {"property_representation": ["NULL"]},
        ("__kind__", "B", "__property__", "ref"): {"property_representation": ["REFERENCE"]},
    }


def test_metadata_can_be_filtered_by_key_and_paged(some: Api) -> None:
    of_a = ("__key__", "ancestor", key("__kind__", "A"))
    assert some.names(query("__property__", of_a)) == ["inner.d", "n", "s"]
    assert some.names(query("__kind__", ("__key__", ">", key("__kind__", "A")))) == ["B"]
    batch = some.batch(query("__property__", limit=4, projection=["__key__"]))
    assert some.names(query("__property__", start=batch.end_cursor)) == ["none", "ref"]
    assert some.aggregate(query("__kind__"), ("count", "n")) == {"n": 2}


def test_other_filters_and_orders_on_metadata_are_refused(some: Api) -> None:
    for wrong in (query("__kind__", ("x", "=", 1)), query("__kind__", order=["x"])):
        with pytest.raises(Refused, match="__key__"):
            some.find(wrong)


def explained(api: Api, asked: Any, *, analyze: bool) -> Any:
    options = m.RunQueryRequest().explain_options
    options.analyze = analyze
    return api.run(asked, explain_options=options)


def test_explain_tells_the_plan_and_reads_nothing(some: Api) -> None:
    response = explained(some, query("A", ("n", ">", 1), order=["n", "-s"]), analyze=False)
    assert not response.HasField("batch")
    metrics = MessageToDict(response.explain_metrics)
    assert metrics == {
        "planSummary": {
            "indexesUsed": [
                {"properties": "(n ASC, s DESC, __name__ DESC)", "query_scope": "Collection group"}
            ]
        }
    }
    assert some.service.counts.as_json()["reads"] == 0


def test_explain_with_analyze_tells_what_it_took(some: Api) -> None:
    response = explained(some, query("A"), analyze=True)
    assert len(response.batch.entity_results) == 2
    stats = response.explain_metrics.execution_stats
    assert (stats.results_returned, stats.read_operations) == (2, 2)
    assert stats.execution_duration.ToMicroseconds() > 0
    assert set(stats.debug_stats) == {"billing_details", "documents_scanned", "index_entries_scanned"}


def test_statistics_count_every_kind_and_follow_each_change(api: Api) -> None:
    api.commit(upsert(("A", 1), v="x" * 100), upsert(("A", 2), v="x" * 100), upsert(("A", 1, "B", 1)))

    def told() -> list[tuple[str, int]]:
        return [(each["kind"], each["count"]) for each in api.service.statistics.as_json()]

    assert told() == [("A", 2), ("B", 1)]
    assert 200 < api.service.statistics.as_json()[0]["bytes"] < 400
    api.commit(delete(("A", 1)))
    assert told() == [("A", 1), ("B", 1)]
    api.commit(delete(("A", 2)))
    assert told() == [("B", 1)]
    api.service.reset()
    assert told() == []


def test_counting_may_stop_at_a_limit(api: Api) -> None:
    api.commit(*(upsert(("L", number), v=number, w=[1, 2]) for number in range(1, 11)))

    assert api.aggregate(query("L", limit=3), ("count", "n")) == {"n": 3}
    assert api.aggregate(query("L", ("v", ">", 0), limit=4, offset=8), ("count", "n")) == {"n": 2}
    assert api.aggregate(query("L", ("w", ">", 0), limit=12), ("count", "n")) == {"n": 10}
