"""Over a socket, with Google's own clients, unmodified."""

from __future__ import annotations

import threading
import time
from typing import Any

import grpc
import pytest
from google.api_core import exceptions
from google.cloud import ndb
from google.cloud.ndb import metadata
from localcloud.datastore import DatastoreServer
from localcloud.datastore import messages as m

from tests.datastore.api import PROJECT, Api, upsert
from tests.datastore.clients import PropertyFilter, datastore


class Address(ndb.Model):
    city = ndb.StringProperty()


class Person(ndb.Model):
    name = ndb.StringProperty()
    age = ndb.IntegerProperty()
    tags = ndb.StringProperty(repeated=True)
    address = ndb.StructuredProperty(Address)
    joined = ndb.DateTimeProperty(auto_now_add=True)
    about = ndb.TextProperty()
    data = ndb.JsonProperty()


class Count(ndb.Model):
    value = ndb.IntegerProperty(default=0, indexed=False)


@pytest.fixture
def people(ndb_client: ndb.Client) -> Any:
    with ndb_client.context():
        ndb.put_multi(
            Person(
                id=f"p{number}",
                name=f"name {number}",
                age=number % 5,
                tags=["even" if number % 2 == 0 else "odd", f"t{number}"],
                address=Address(city=f"city {number % 3}"),
                about="text " * 1000,
                data={"number": number},
            )
            for number in range(12)
        )
        yield


def test_ndb_stores_and_finds_models(people: Any) -> None:
    person = ndb.Key(Person, "p3").get()
    assert (person.name, person.data, person.address.city) == ("name 3", {"number": 3}, "city 0")
    assert [each.key.id() for each in Person.query(Person.age == 4, Person.tags == "even")] == ["p4"]
    assert Person.query(Person.address.city == "city 1").count() == 4
    assert len(Person.query(ndb.OR(Person.age == 1, Person.tags == "t5")).fetch()) == 4
    assert len(Person.query(Person.age.IN([0, 1])).fetch()) == 6
    assert len(Person.query(Person.age != 2).fetch()) == 10
    assert [each.age for each in Person.query().order(-Person.age, Person.name).fetch(3)] == [4, 4, 3]
    projected = Person.query().order(Person.name).fetch(2, projection=[Person.name, Person.joined])
    assert [each.name for each in projected] == ["name 0", "name 1"]
    assert projected[0].joined is not None


def test_ndb_pages_with_cursors(people: Any) -> None:
    query = Person.query().order(Person.name)
    names: list[str] = []
    cursor, more = None, True
    while more:
        page, cursor, more = query.fetch_page(5, start_cursor=cursor)
        names += [each.name for each in page]
    assert names == sorted(f"name {number}" for number in range(12))


def test_ndb_tells_kinds_and_properties(people: Any) -> None:
    assert "Person" in metadata.get_kinds()
    assert "address.city" in metadata.get_properties_of_kind("Person")
    assert metadata.get_representations_of_kind("Person", "age", "b") == {"age": ["INT64"]}


def test_ndb_allocates_ids_and_gets_or_inserts(ndb_client: ndb.Client) -> None:
    with ndb_client.context():
        assert len(set(Count.allocate_ids(5))) == 5
        assert Count.get_or_insert("c", value=3).value == 3
        assert Count.get_or_insert("c", value=4).value == 3


def test_ndb_transactions_of_many_threads_lose_nothing(ndb_client: ndb.Client) -> None:
    def work() -> None:
        with ndb_client.context():
            for _ in range(5):

                def increment() -> None:
                    count = Count.get_by_id("hot") or Count(id="hot")
                    count.value += 1
                    count.put()

                ndb.transaction(increment, retries=0)

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    with ndb_client.context():
        assert Count.get_by_id("hot").value == 30


def test_a_failed_ndb_transaction_writes_nothing(ndb_client: ndb.Client) -> None:
    def fail() -> None:
        Count(id="never", value=1).put()
        raise LookupError

    with ndb_client.context():
        with pytest.raises(LookupError):
            ndb.transaction(fail)
        assert Count.get_by_id("never") is None


def test_the_plain_client_reads_more_than_a_batch(client: Any) -> None:
    entities = [datastore.Entity(client.key("Many", number)) for number in range(1, 1201)]
    for start in range(0, 1200, 400):
        client.put_multi(entities[start : start + 400])
    found = [each.key.id for each in client.query(kind="Many").fetch()]
    assert found == list(range(1, 1201))
    assert len(list(client.query(kind="Many").fetch(offset=700))) == 500
    assert len(list(client.query(kind="Many").fetch(limit=900))) == 900
    aggregation = client.aggregation_query(client.query(kind="Many")).count(alias="n")
    assert [result.value for result in next(iter(aggregation.fetch()))] == [1200]


def test_errors_arrive_as_the_clients_exceptions(client: Any) -> None:
    query = client.query(kind="K")
    query.add_filter(filter=PropertyFilter("x", "IN", []))
    with pytest.raises(exceptions.InvalidArgument):
        list(query.fetch())


def test_an_unknown_method_is_unimplemented(server: DatastoreServer) -> None:
    channel: Any
    with grpc.insecure_channel(server.address) as channel:
        call = channel.unary_unary("/google.datastore.v1.Datastore/Nothing")
        with pytest.raises(grpc.RpcError) as error:
            call(b"", timeout=10)
    assert error.value.code() is grpc.StatusCode.UNIMPLEMENTED


def test_a_server_stops_in_spite_of_a_transaction_that_others_wait_for() -> None:
    with DatastoreServer(lock_wait_seconds=60.0) as server:
        api = Api(server.service)
        transaction = api.begin()
        api.lookup(("Thing", "a"), transaction=transaction)
        channel: Any
        with grpc.insecure_channel(server.address) as channel:
            call = channel.unary_unary("/google.datastore.v1.Datastore/Commit")
            request = m.CommitRequest(project_id=PROJECT, mode=2, mutations=[upsert(("Thing", "a"))])
            waiting = call.future(request.SerializeToString(), timeout=60)
            deadline = time.monotonic() + 10
            while not any(lock.queue for lock in list(server.service.locks._locks.values())):
                assert time.monotonic() < deadline
            began = time.monotonic()
            server.close(grace_seconds=0.2)
            assert time.monotonic() - began < 10
            assert waiting.exception() is not None


def test_a_server_can_be_closed_twice_and_started_anew() -> None:
    server = DatastoreServer()
    with server:
        first = server.address
    server.close()
    with server:
        assert server.address.startswith("127.0.0.1:")
        assert first.startswith("127.0.0.1:")
