"""Commit and Lookup: what each mutation does, what it answers, and what is refused."""

from __future__ import annotations

from typing import Any

import grpc
import pytest
from localcloud.datastore import messages as m
from localcloud.datastore.errors import Refused

from tests.datastore.api import (
    Api,
    StandingClock,
    delete,
    entity,
    insert,
    key,
    path_of,
    properties,
    query,
    update,
    upsert,
    value,
)

A = ("Thing", "a")
B = ("Thing", "b")
FAIL = m.Mutation.ConflictResolutionStrategy.Value("FAIL")
Code = grpc.StatusCode


def refused(code: grpc.StatusCode) -> Any:
    class Refusal:
        def __enter__(self) -> None:
            self.context = pytest.raises(Refused)
            self.found = self.context.__enter__()

        def __exit__(self, *error: Any) -> bool | None:
            suppressed = self.context.__exit__(*error)
            assert self.found.value.code is code, self.found.value.message
            return suppressed

    return Refusal()


def test_what_was_put_is_found_with_its_versions_and_times(api: Api) -> None:
    first = api.commit(upsert(A, n=1)).mutation_results[0]
    second = api.commit(upsert(A, n=2)).mutation_results[0]
    found = api.lookup(A).found[0]
    assert properties(found.entity) == {"n": 2}
    assert first.version < second.version == found.version
    assert found.create_time == first.create_time == first.update_time == second.create_time
    assert found.update_time == second.update_time
    assert found.update_time.ToMicroseconds() == found.version


def test_what_is_not_there_is_missing_with_the_version_of_the_snapshot(api: Api) -> None:
    written = api.commit(upsert(A, n=1)).mutation_results[0]
    missing = api.lookup(B).missing[0]
    assert path_of(missing.entity.key) == B
    assert missing.version >= written.version
    assert not missing.HasField("create_time")


def test_a_key_given_twice_is_looked_up_once(api: Api) -> None:
    api.commit(upsert(A))
    assert len(api.lookup(A, A).found) == 1


def test_no_keys_are_fine(api: Api) -> None:
    assert not api.lookup().found


def test_insert_refuses_what_is_there_and_update_what_is_not(api: Api) -> None:
    api.commit(insert(A, n=1))
    with refused(Code.ALREADY_EXISTS):
        api.commit(insert(A, n=2))
    with refused(Code.NOT_FOUND):
        api.commit(update(B, n=2))
    api.commit(update(A, n=3), delete(B))
    assert api.get(*A) == {"n": 3}


def test_a_refused_mutation_takes_the_whole_commit_with_it(api: Api) -> None:
    with refused(Code.NOT_FOUND):
        api.commit(upsert(A, n=1), update(B, n=1))
    assert api.get(*A) is None


def test_a_write_that_changes_nothing_keeps_the_version(api: Api) -> None:
    first = api.commit(upsert(A, n=1, s="x")).mutation_results[0]
    second = api.commit(upsert(A, s="x", n=1)).mutation_results[0]
    assert second.version == first.version
    assert second.update_time == first.update_time


def test_deleting_what_is_not_there_answers_a_version_and_no_times(api: Api) -> None:
    before = api.commit(upsert(A)).mutation_results[0].version
    result = api.commit(delete(B)).mutation_results[0]
    assert result.version > before
    assert not result.HasField("update_time")
    assert api.commit(upsert(B)).mutation_results[0].version > result.version


def test_an_incomplete_key_gets_an_id_that_only_then_is_answered(api: Api) -> None:
    results = api.commit(insert(("Thing",), n=1), upsert(("Thing",), n=2), upsert(A)).mutation_results
    first, second = path_of(results[0].key), path_of(results[1].key)
    assert first != second
    assert api.get(*first) == {"n": 1}
    assert api.get(*second) == {"n": 2}
    assert not results[2].HasField("key")


def test_mutations_of_one_entity_in_a_transaction_apply_in_order(api: Api) -> None:
    api.commit(upsert(A, n=1))
    api.commit(delete(A), insert(A, n=2), update(A, n=3), mode="SINGLE_USE")
    assert api.get(*A) == {"n": 3}
    api.commit(upsert(B, n=1), delete(B), mode="SINGLE_USE")
    assert api.get(*B) is None


@pytest.mark.parametrize(
    "pair",
    [
        (insert(A), insert(A)),
        (update(A), insert(A)),
        (upsert(A), insert(A)),
        (delete(A), update(A)),
    ],
)
def test_impossible_sequences_on_one_entity_are_refused(api: Api, pair: tuple[Any, Any]) -> None:
    with refused(Code.INVALID_ARGUMENT):
        api.commit(*pair, mode="SINGLE_USE")


def test_a_non_transactional_commit_touches_each_entity_once(api: Api) -> None:
    with refused(Code.INVALID_ARGUMENT):
        api.commit(upsert(A), upsert(A))


def test_only_transactional_commits_have_a_commit_time(api: Api) -> None:
    assert not api.commit(upsert(A)).HasField("commit_time")
    response = api.commit(upsert(B), mode="SINGLE_USE")
    assert response.commit_time == response.mutation_results[0].update_time


def test_index_updates_count_the_rows_written_and_removed(api: Api) -> None:
    assert api.commit(upsert(A, n=1, s="x")).index_updates == 3
    assert api.commit(upsert(A, n=2, s="x")).index_updates == 2
    assert (
        api.commit(m.Mutation(upsert=entity(A, {"n": 2, "s": "x", "t": 1}, unindexed="t"))).index_updates == 0
    )


def test_a_stale_base_version_keeps_the_servers_entity_and_says_so(api: Api) -> None:
    version = api.commit(upsert(A, n=1)).mutation_results[0].version
    api.commit(upsert(A, n=2))
    mutation = upsert(A, n=3)
    mutation.base_version = version
    result = api.commit(mutation).mutation_results[0]
    assert result.conflict_detected
    assert result.version > version
    assert api.get(*A) == {"n": 2}
    mutation.base_version = result.version
    assert not api.commit(mutation).mutation_results[0].conflict_detected
    assert api.get(*A) == {"n": 3}


def test_a_stale_version_or_update_time_fails_the_commit_if_asked_to(api: Api) -> None:
    first = api.commit(upsert(A, n=1)).mutation_results[0]
    api.commit(upsert(A, n=2))
    mutation = upsert(A, n=3)
    mutation.conflict_resolution_strategy = FAIL
    with refused(Code.INVALID_ARGUMENT):
        api.commit(mutation)
    mutation.base_version = first.version
    with refused(Code.FAILED_PRECONDITION):
        api.commit(mutation)
    mutation.update_time.CopyFrom(first.update_time)
    with refused(Code.FAILED_PRECONDITION):
        api.commit(upsert(B), mutation)
    assert api.get(*A) == {"n": 2}
    assert api.get(*B) is None


def test_the_version_with_which_an_entity_was_missed_is_good_until_it_is_written(api: Api) -> None:
    api.commit(upsert(B))
    missing = api.lookup(A).missing[0].version
    mutation = upsert(A, n=1)
    mutation.base_version = missing
    assert not api.commit(mutation).mutation_results[0].conflict_detected
    api.commit(delete(A))
    assert api.commit(mutation).mutation_results[0].conflict_detected


def test_a_property_mask_writes_what_it_names_deletes_what_is_absent_and_keeps_the_rest(api: Api) -> None:
    api.commit(upsert(A, keep=1, change=1, drop=1, inner={"x": 1, "y": 2}))
    mutation = upsert(A, change=2, keep=99, inner={"x": 5})
    mutation.property_mask.paths.extend(["change", "drop", "inner.x", "never"])
    api.commit(mutation)
    assert api.get(*A) == {"keep": 1, "change": 2, "inner": {"x": 5, "y": 2}}


def test_a_property_mask_on_a_new_entity_writes_what_it_names(api: Api) -> None:
    mutation = upsert(A, a=1, b=2)
    mutation.property_mask.paths.append("a")
    api.commit(mutation)
    assert api.get(*A) == {"a": 1}


def test_dots_in_names_are_escaped_in_a_mask(api: Api) -> None:
    mutation = upsert(A, **{"a.b": 1, "a": 2})
    mutation.property_mask.paths.append("a\\.b")
    api.commit(mutation)
    assert api.get(*A) == {"a.b": 1}


@pytest.mark.parametrize("path", ["", "a..b", ".", "a\\x", "a\\"])
def test_a_malformed_path_in_a_mask_is_refused(api: Api, path: str) -> None:
    mutation = upsert(A, a=1)
    mutation.property_mask.paths.append(path)
    with refused(Code.INVALID_ARGUMENT):
        api.commit(mutation)


def test_lookup_returns_what_its_mask_names(api: Api) -> None:
    api.commit(upsert(A, a=1, b={"c": 2, "d": 3}))
    request = m.LookupRequest(keys=[key(*A)])
    request.property_mask.paths.extend(["b.d", "__key__"])
    found = api.call("Lookup", m.LookupResponse, request).found[0].entity
    assert properties(found) == {"b": {"d": 3}}
    assert path_of(found.key) == A


def test_databases_and_namespaces_are_apart(api: Api) -> None:
    other_database = Api(api.service, database="other")
    other_namespace = Api(api.service, namespace="other")
    for number, each in enumerate((api, other_database, other_namespace)):
        each.commit(upsert(each.key(*A), n=number))
    assert [each.get(*A)["n"] for each in (api, other_database, other_namespace)] == [0, 1, 2]


def test_a_key_of_another_project_or_database_is_refused(api: Api) -> None:
    for wrong in (key(*A, project="other"), key(*A, database="other")):
        with refused(Code.INVALID_ARGUMENT):
            api.lookup(wrong)
        with refused(Code.INVALID_ARGUMENT):
            api.commit(delete(wrong))


@pytest.mark.parametrize("database", ["", "named"])
def test_a_key_without_a_project_lies_in_the_request_s(api: Api, database: str) -> None:
    """As Node's and Go's clients send them: with nothing, or with the namespace alone."""
    api = Api(api.service, database)

    def bare(*path: Any) -> Any:
        return key(*path, project="", namespace="n")

    whole = key(*A, namespace="n", database=database)
    answer = api.commit(upsert(bare(*A), k=bare("K", 1), e=m.Value(entity_value=entity(bare("E"), {"n": 1}))))
    assert not answer.mutation_results[0].HasField("key")
    assert api.lookup(bare(*A)).found == api.lookup(whole).found
    found = api.lookup(whole).found[0].entity
    assert found.key == whole
    assert found.properties["k"].key_value == key("K", 1, namespace="n", database=database)
    assert found.properties["e"].entity_value.key == key("E", namespace="n", database=database)
    assert api.lookup(bare(*B)).missing[0].entity.key == key(*B, namespace="n", database=database)
    request = m.RunQueryRequest(query=query("Thing", ("k", "=", bare("K", 1)), ("__key__", ">=", bare(*A))))
    request.partition_id.namespace_id = "n"
    assert len(api.call("RunQuery", m.RunQueryResponse, request).batch.entity_results) == 1
    allocated = api.call("AllocateIds", m.AllocateIdsResponse, m.AllocateIdsRequest(keys=[bare("Thing")]))
    assert allocated.keys[0].partition_id == whole.partition_id


def test_a_key_without_a_project_cannot_name_another_database(api: Api) -> None:
    with refused(Code.INVALID_ARGUMENT):
        api.lookup(key(*A, project="", database="other"))


def test_a_base_version_must_suit_the_operation(api: Api) -> None:
    api.commit(upsert(A, n=1))
    for mutation, version in ((insert(B), 5), (update(A), 0), (upsert(A), -1), (delete(A), -1)):
        mutation.base_version = version
        with refused(Code.INVALID_ARGUMENT):
            api.commit(mutation)
    first = insert(B, n=1)
    first.base_version = 0
    api.commit(first)
    assert api.get(*B) == {"n": 1}


def test_a_single_use_transaction_without_options_is_read_write(api: Api) -> None:
    request = m.CommitRequest(mutations=[upsert(A, n=1)], mode="TRANSACTIONAL")
    request.single_use_transaction.SetInParent()
    assert api.call("Commit", m.CommitResponse, request).HasField("commit_time")
    request.single_use_transaction.read_only.SetInParent()
    with refused(Code.INVALID_ARGUMENT):
        api.call("Commit", m.CommitResponse, request)


def test_a_mask_must_not_name_what_is_reserved(api: Api) -> None:
    mutation = upsert(A, n=1)
    mutation.property_mask.paths.append("__n__")
    with refused(Code.INVALID_ARGUMENT):
        api.commit(mutation)
    request = m.LookupRequest(keys=[key(*A)])
    request.property_mask.paths.append("in.__n__")
    with refused(Code.INVALID_ARGUMENT):
        api.call("Lookup", m.LookupResponse, request)


def test_ids_of_a_reserved_kind_cannot_be_reserved(api: Api) -> None:
    with refused(Code.INVALID_ARGUMENT):
        api.call("ReserveIds", m.ReserveIdsResponse, m.ReserveIdsRequest(keys=[key("__kind__", 1)]))


def test_the_default_database_is_not_called_default(api: Api) -> None:
    with refused(Code.INVALID_ARGUMENT):
        Api(api.service, database="(default)").get(*A)


def test_a_commit_needs_a_mode_that_fits_its_transaction(api: Api) -> None:
    for mode, transaction in ((0, b""), (1, b""), (2, api.begin()), (7, b"")):
        request = m.CommitRequest(mutations=[upsert(A)], mode=mode)
        if transaction:
            request.transaction = transaction
        with refused(Code.INVALID_ARGUMENT):
            api.call("Commit", m.CommitResponse, request)


def test_allocated_ids_are_new_and_complete_the_keys_in_order(api: Api) -> None:
    request = m.AllocateIdsRequest(keys=[key("Thing"), key("Parent", 1, "Thing"), key("Thing")])
    keys = api.call("AllocateIds", m.AllocateIdsResponse, request).keys
    assert [path_of(each)[:-1] for each in keys] == [("Thing",), ("Parent", 1, "Thing"), ("Thing",)]
    assert len({path_of(each)[-1] for each in keys}) == 3
    with refused(Code.INVALID_ARGUMENT):
        api.call("AllocateIds", m.AllocateIdsResponse, m.AllocateIdsRequest(keys=[key(*A)]))


def test_reserved_ids_are_never_given_out(api: Api) -> None:
    class Chance:
        """Draws the same number twice, then another."""

        def __init__(self) -> None:
            self.drawn = iter([2**51, 2**51, 2**51 + 1])

        def choice(self, _: range) -> int:
            return next(self.drawn)

    keys = [key("Thing", 2**51), key("Thing", "name")]
    api.call("ReserveIds", m.ReserveIdsResponse, m.ReserveIdsRequest(keys=keys))
    api.service.committer._chance = Chance()  # type: ignore[assignment]
    found = api.call("AllocateIds", m.AllocateIdsResponse, m.AllocateIdsRequest(keys=[key("Thing")])).keys
    assert path_of(found[0]) == ("Thing", 2**51 + 1)
    with refused(Code.INVALID_ARGUMENT):
        api.call("ReserveIds", m.ReserveIdsResponse, m.ReserveIdsRequest(keys=[key("Thing")]))


def test_timestamps_are_rounded_down_to_the_microsecond(api: Api, clock: StandingClock) -> None:
    moment = value(1)
    moment.timestamp_value.seconds, moment.timestamp_value.nanos = 5, 1_999
    api.commit(upsert(A, at=moment))
    assert api.lookup(A).found[0].entity.properties["at"].timestamp_value.nanos == 1_000
