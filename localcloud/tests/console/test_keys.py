"""A key in any spelling finds its entity."""

from __future__ import annotations

from typing import Any

import pytest
from google.auth.credentials import AnonymousCredentials
from google.cloud import datastore, ndb
from hypothesis import given
from localcloud.console.errors import Problem
from localcloud.console.key_literals import key_literal, parse_key_literal
from localcloud.console.keys import Database, address, parse_address, parse_key, spellings
from localcloud.console.typed_json import key_json, read_key

from tests.console.entities import data_of, key, keys

WHERE = Database("local-project")


@given(keys())
def test_every_spelling_of_a_key_names_that_key(message: Any) -> None:
    assert data_of(parse_key_literal(key_literal(message))) == data_of(message)
    assert data_of(read_key(key_json(message))) == data_of(message)
    assert data_of(parse_address(address(message))) == data_of(message)
    own = Database(message.partition_id.project_id, message.partition_id.database_id)
    for name, text in spellings(message):
        if name != "Path":  # it says nothing of the namespace
            assert data_of(parse_key(text, own)) == data_of(message), name
    inside = Database.of(message)
    assert data_of(parse_key(dict(spellings(message))["Path"], inside)) == data_of(message)


@pytest.mark.parametrize(
    "text",
    [
        "KEY(Counter, 'visits', Shard, 5)",
        "key(`Counter`, \"visits\", 'Shard', 5)",
        "Counter, 'visits', Shard, 5",
        "Counter 'visits' / Shard 5",
        "Key('Counter', 'visits', 'Shard', 5)",
        "Key('Counter', 'visits', 'Shard', 5, project='local-project')",
        "KEY(PROJECT('local-project'), Counter, 'visits', Shard, 5)",
        '{"path": [{"kind": "Counter", "name": "visits"}, {"kind": "Shard", "id": "5"}]}',
    ],
)
def test_keys_are_read_as_people_and_programs_write_them(text: str) -> None:
    assert parse_key(text, WHERE) == key(WHERE, "Counter", "visits", "Shard", 5)


def test_the_urlsafe_text_is_that_of_googles_clients() -> None:
    message = key(Database("local-project", "", "eu"), "Counter", "visits")
    new_key: Any = datastore.Key
    expected = new_key("Counter", "visits", project="local-project", namespace="eu").to_legacy_urlsafe()

    assert dict(spellings(message))["urlsafe (ndb)"] == expected.decode()
    assert parse_key(expected.decode(), WHERE) == message


def test_what_ndb_prints_is_read() -> None:
    client = ndb.Client("local-project", credentials=AnonymousCredentials())  # type: ignore[no-untyped-call]
    with client.context():
        printed = ndb.Key("Counter", "visits", namespace="eu")
        text, urlsafe = repr(printed), printed.urlsafe().decode()

    expected = key(Database("local-project", "", "eu"), "Counter", "visits")
    assert parse_key(text, WHERE) == expected
    assert parse_key(urlsafe, WHERE) == expected


def test_a_key_that_names_no_project_lies_where_one_looks() -> None:
    there = Database("other", "db", "eu")

    assert parse_key("KEY(A, 1)", there) == key(there, "A", 1)
    assert parse_key("KEY(NAMESPACE('us'), A, 1)", there) == key(Database("other", "db", "us"), "A", 1)


@pytest.mark.parametrize(
    "text", ["", "KEY()", "KEY(1, 2)", "KEY(A, 1", "KEY(A,, 1)", "KEY(X('n'), A, 1)", "!"]
)
def test_what_is_no_key_is_refused(text: str) -> None:
    with pytest.raises(Problem):
        parse_key(text, WHERE)
