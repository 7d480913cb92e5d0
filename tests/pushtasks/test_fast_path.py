"""Flat entities are encoded as google-cloud-ndb itself encodes them, and read as it reads them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from google.cloud import ndb
from google.cloud.datastore import helpers
from google.cloud.datastore_v1.types import Entity
from google.cloud.ndb import model

from counters.entities import CounterShard
from pushtasks.database import Database
from pushtasks.entities import TaskRecord, TaskStatistics
from pushtasks.fast_path import decode, decode_flat, encode_flat, encode_key, is_flat, path_of
from pushtasks.work import Lookup, UnitOfWork

NOON = datetime(2026, 5, 1, 12, 0, 30, 123456, tzinfo=UTC)


def by_ndb(entity: ndb.Model) -> Any:
    encode: Any = helpers.entity_to_protobuf  # it carries no types
    return Entity.pb(encode(model._entity_to_ds_entity(entity)))


def by_us(entity: ndb.Model) -> Any:
    message = Entity.pb()()
    encode_flat(entity, message)
    return message


@pytest.mark.parametrize(
    "make",
    [
        lambda: TaskRecord(
            key=TaskRecord.key_of("update-counter", "name"),
            outcome="applied",
            note='{"counter":"visits","amount":1}',
            payload_digest="0" * 32,
            attempts=3,
            enqueued_at=NOON,
            delivery_id="d",
            expire_at=NOON,
        ),
        lambda: TaskRecord(key=TaskRecord.key_of("update-counter", "é" * 100), outcome=""),
        lambda: CounterShard(key=ndb.Key(CounterShard, "visits:3"), value=2**40, last_applied_at=NOON),
        lambda: TaskStatistics(
            key=TaskStatistics.key_of("update-counter", 1), applied=1, minutes=b"\x00\xff"
        ),
    ],
)
def test_an_entity_is_encoded_as_ndb_encodes_it(database: Database, make: Any) -> None:
    with database.context():
        entity = make()

        assert is_flat(entity)
        assert by_us(entity) == by_ndb(entity)


@pytest.mark.parametrize(
    "make",
    [
        lambda: TaskRecord(key=TaskRecord.key_of("update-counter", "é" * 100), attempts=3, enqueued_at=NOON),
        lambda: CounterShard(key=ndb.Key(CounterShard, "visits:3"), value=-(2**63), last_applied_at=NOON),
        lambda: TaskStatistics(
            key=TaskStatistics.key_of("update-counter", 1), applied=1, minutes=b"\x00\xff"
        ),
    ],
)
def test_an_entity_is_read_as_ndb_reads_it(database: Database, make: Any) -> None:
    with database.context():
        entity = make()
        message = by_ndb(entity)

        ours, ndbs = decode_flat(message, entity.key), model._entity_from_protobuf(message)

        assert ours is not None
        assert ours == ndbs
        assert ours.key == ndbs.key
        assert ours.to_dict() == ndbs.to_dict() == entity.to_dict()


def test_a_property_that_a_stored_entity_lacks_has_its_default(database: Database) -> None:
    with database.context():
        key = ndb.Key(CounterShard, "visits:3")
        message = by_us(CounterShard(key=key, value=7))
        del message.properties["tasks_applied"]

        shard = decode_flat(message, key)

        assert shard is not None
        assert (shard.value, shard.tasks_applied) == (7, 0)


def other_value(message: Any) -> None:
    message.properties["value"].string_value = "seven"


def unknown_property(message: Any) -> None:
    message.properties["colour"].string_value = "red"


def with_meaning(message: Any) -> None:
    message.properties["value"].meaning = 22


@pytest.mark.parametrize("change", [other_value, unknown_property, with_meaning])
def test_what_is_stored_otherwise_than_declared_is_left_to_ndb(database: Database, change: Any) -> None:
    with database.context():
        key = ndb.Key(CounterShard, "visits:3")
        message = by_us(CounterShard(key=key, value=7))
        change(message)

        assert decode_flat(message, key) is None


@pytest.mark.parametrize("kind", ["Nested", "Renamed", "Squeezed", "Hooked"])
def test_an_entity_of_a_kind_that_is_not_flat_is_left_to_ndb(database: Database, kind: str) -> None:
    with database.context():
        key = ndb.Key(kind, "n")
        message = Entity.pb()()
        encode_key(key, message.key)

        assert decode_flat(message, key) is None
        assert type(decode(message, key)).__name__ == kind


class Nested(ndb.Model):
    words = ndb.TextProperty(repeated=True)


class Stamped(ndb.Model):
    at = ndb.DateTimeProperty(auto_now=True, tzinfo=UTC)


class Needy(ndb.Model):
    word = ndb.TextProperty(required=True)


class Renamed(ndb.Model):
    word = ndb.TextProperty(name="w")


class Squeezed(ndb.Model):
    blob = ndb.BlobProperty(compressed=True)


class Hooked(ndb.Model):
    word = ndb.TextProperty()

    def _pre_put_hook(self) -> None:
        self.word = "hooked"


class Child(Hooked):
    pass


class Plain(ndb.Model):
    word = ndb.TextProperty()


@pytest.mark.parametrize("model", [Nested, Stamped, Needy, Renamed, Squeezed, Hooked, Child])
def test_a_model_of_which_ndb_would_make_more_is_not_flat(database: Database, model: Any) -> None:
    with database.context():
        assert not is_flat(model(key=ndb.Key(model, "n")))


@pytest.mark.parametrize("path", [("Plain", 17), ("Plain", "parent", "Plain", "child"), ("Plain", None)])
def test_an_entity_with_a_parent_or_without_a_name_is_not_flat(database: Database, path: Any) -> None:
    with database.context():
        assert is_flat(Plain(key=ndb.Key("Plain", "n")))
        assert not is_flat(Plain(key=ndb.Key(*path)))


@pytest.mark.parametrize("model", [Hooked, Stamped])
def test_what_is_not_flat_is_written_as_ndb_writes_it(database: Database, name: str, model: Any) -> None:
    def body(lookup: Lookup) -> tuple[UnitOfWork, None]:
        unit = UnitOfWork(lookup, 0, NOON)
        unit.get(key, model)
        return unit, None

    with database.context():
        key = ndb.Key(model, name)
        database.unit_of_work(body)
    with database.context():
        [found] = database.get([key])
    assert found.word == "hooked" if model is Hooked else found.at is not None


@pytest.mark.parametrize("path", [("Plain", "é"), ("Plain", 17), ("Parent", "p", "Plain", 3)])
@pytest.mark.parametrize("namespace", [None, "n"])
def test_a_key_is_encoded_as_ndb_encodes_it(database: Database, path: Any, namespace: str | None) -> None:
    with database.context():
        key = ndb.Key(*path, namespace=namespace)
        message = Entity.pb()().key

        encode_key(key, message)

        assert message == key._key.to_protobuf()._pb
        assert path_of(message) == key.flat()


class LookupsCounted:
    """Counts the Lookup calls of a database."""

    def __init__(self, database: Database) -> None:
        self.count = 0
        self._method = database._client.stub.lookup
        database._client.stub.lookup = self

    def future(self, *args: Any, **options: Any) -> Any:
        self.count += 1
        return self._method.future(*args, **options)


def test_what_a_transaction_has_read_is_not_read_again(database: Database, name: str) -> None:
    read = LookupsCounted(database)

    def body(lookup: Lookup) -> tuple[UnitOfWork, list[Any]]:
        unit = UnitOfWork(lookup, 0, NOON)
        unit.fetch([there, not_there, there])
        return unit, [unit.read(not_there), unit.read(there), unit.get(there, TaskRecord)]

    with database.context():
        there, not_there = (TaskRecord.key_of("update-counter", f"{name}-{n}") for n in "ab")
        database.put(TaskRecord(key=there, outcome="applied"))
        missing, found, again = database.unit_of_work(body)

    assert missing is None
    assert found is again
    assert found.outcome == "applied"
    assert read.count == 1


def test_more_keys_than_a_lookup_takes_are_read_in_several(database: Database, name: str) -> None:
    read = LookupsCounted(database)

    def body(lookup: Lookup) -> tuple[UnitOfWork, list[Any]]:
        return UnitOfWork(lookup, 0, NOON), lookup(keys)

    with database.context():
        keys = [TaskRecord.key_of("update-counter", f"{name}-{number}") for number in range(1001)]
        database.put(TaskRecord(key=keys[-1], outcome="applied"))
        found = database.unit_of_work(body)

    assert found[:-1] == [None] * 1000
    assert found[-1].outcome == "applied"
    assert read.count == 2


def test_a_body_that_raises_writes_nothing_and_gives_its_locks_back(database: Database, name: str) -> None:
    def body(lookup: Lookup) -> tuple[UnitOfWork, None]:
        unit = UnitOfWork(lookup, 0, NOON)
        unit.get(key, TaskRecord).outcome = "applied"
        if should_fail:
            raise LookupError
        return unit, None

    should_fail = True
    with database.context():
        key = TaskRecord.key_of("update-counter", name)
        with pytest.raises(LookupError):
            database.unit_of_work(body)
        assert database.get([key]) == [None]
        should_fail = False
        database.unit_of_work(body)
    with database.context():
        assert database.get([key])[0].outcome == "applied"
