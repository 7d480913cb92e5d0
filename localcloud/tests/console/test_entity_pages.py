"""One entity: looked at, edited, added, copied, deleted, found by its key."""

from __future__ import annotations

import html
import re
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from localcloud.console.datastore import Datastore
from localcloud.console.keys import Database, address, spellings
from localcloud.datastore.messages import Entity, Value

from tests.console.entities import data_of, entity, key
from tests.console.entities import properties as any_properties
from tests.console.visitor import Page, Visitor


def look(visitor: Visitor, message: Any) -> Page:
    page = visitor.get("/data/entity", key=address(message))
    assert page.status == 200, page.message
    return page


def stored(datastore: Datastore, message: Any) -> Any:
    found = datastore.lookup(message)
    assert found is not None
    return found.entity


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(any_properties)
def test_an_edit_through_the_page_leaves_all_else_to_the_byte(
    visitor: Visitor, datastore: Datastore, where: Database, found: dict[str, Any]
) -> None:
    before = Entity(key=key(where, "Anything", 1))
    for name, value in found.items():
        storable(value)
        before.properties["x" + name].CopyFrom(value)
    before.properties["edited"].integer_value = 1
    datastore.upsert_all([before])
    before = stored(datastore, before.key)

    form = look(visitor, before.key).form("/data/entity")
    form.set("text", "2", form.place_of("name", '"edited"'))
    page = visitor.submit(form)

    assert page.message == "Saved: edited."
    before.properties["edited"].integer_value = 2
    assert data_of(stored(datastore, before.key)) == data_of(before)


def storable(value: Any) -> None:
    """Bring a value to what the server takes: no meanings that its type hasn't, no lists in lists."""
    value.meaning = 0
    if value.HasField("array_value"):
        value.exclude_from_indexes = False
        for each in list(value.array_value.values):
            storable(each)
            if each.HasField("array_value"):
                each.null_value = 0
    if value.HasField("entity_value"):
        for name in list(value.entity_value.properties):
            storable(value.entity_value.properties[name])


def test_saving_without_an_edit_writes_nothing(
    visitor: Visitor, datastore: Datastore, where: Database
) -> None:
    datastore.upsert_all([entity(where, "T", 1, a="x")])
    found = datastore.lookup(key(where, "T", 1))
    assert found is not None

    page = visitor.submit(look(visitor, key(where, "T", 1)).form("/data/entity"))

    assert "nothing written" in page.message
    after = datastore.lookup(key(where, "T", 1))
    assert after is not None
    assert after.version == found.version


def test_an_edit_of_an_entity_that_changed_meanwhile_is_refused_and_shown(
    visitor: Visitor, datastore: Datastore, where: Database
) -> None:
    datastore.upsert_all([entity(where, "T", 1, mine="old", theirs="old")])
    form = look(visitor, key(where, "T", 1)).form("/data/entity")
    datastore.upsert_all([entity(where, "T", 1, mine="old", theirs="new")])
    form.set("text", "mine", form.place_of("name", '"mine"'))

    refused = visitor.submit(form)

    assert refused.status == 409
    assert "changed in the meantime: nothing was written" in refused.message
    assert stored(datastore, key(where, "T", 1)) == entity(where, "T", 1, mine="old", theirs="new")
    assert ("text", "new") in refused.form("/data/entity").fields

    assert visitor.submit(refused.form("/data/entity")).message == "Saved: mine."
    assert stored(datastore, key(where, "T", 1)) == entity(where, "T", 1, mine="mine", theirs="new")


def test_bad_input_keeps_the_form_and_writes_nothing(
    visitor: Visitor, datastore: Datastore, where: Database
) -> None:
    datastore.upsert_all([entity(where, "T", 1, a=1, b=2)])
    form = look(visitor, key(where, "T", 1)).form("/data/entity")
    form.set("text", "3", form.place_of("name", '"a"'))
    form.set("text", "many", form.place_of("name", '"b"'))

    page = visitor.submit(form)

    assert page.status == 400
    assert "'many' is not an integer" in page.message
    assert ("text", "3") in page.form("/data/entity").fields
    assert stored(datastore, key(where, "T", 1)) == entity(where, "T", 1, a=1, b=2)


def test_what_the_server_refuses_is_told_in_its_words(
    visitor: Visitor, datastore: Datastore, where: Database
) -> None:
    datastore.upsert_all([entity(where, "T", 1, a="x")])
    form = look(visitor, key(where, "T", 1)).form("/data/entity")
    form.set("text", "x" * 1501, form.place_of("name", '"a"'))

    page = visitor.submit(form)

    assert page.status == 400
    assert "longer than 1500 bytes" in page.message


def test_properties_are_added_removed_and_taken_out_of_the_index(
    visitor: Visitor, datastore: Datastore, where: Database
) -> None:
    datastore.upsert_all([entity(where, "T", 1, a="x", b="y")])
    form = look(visitor, key(where, "T", 1)).form("/data/entity")
    form.set("remove-1", "1")
    form.set("indexed-2", None)
    form.set("name", "c", 2)
    form.set("type", "timestamp", 2)
    form.set("text", "2026-05-01T12:00:00.000001Z", 2)

    assert visitor.submit(form).message == "Saved: a, b, c."

    when = Value(timestamp_value={"seconds": 1777636800, "nanos": 1000})
    assert stored(datastore, key(where, "T", 1)) == entity(
        where, "T", 1, b=Value(string_value="y", exclude_from_indexes=True), c=when
    )


def test_every_spelling_of_its_key_is_shown_and_finds_it(
    visitor: Visitor, datastore: Datastore, where: Database
) -> None:
    eu = Database("local-project", "", "eu")
    message = key(eu, "Counter", 'it\'s "5"', "Shard", (1 << 53) + 1)
    datastore.upsert_all([Entity(key=message)])

    page = look(visitor, message)

    shown = [html.unescape(each) for each in re.findall(r"<dd><code>(.*?)</code></dd>", page.text)]
    assert shown == [text for _, text in spellings(message)]
    for text in shown:
        namespace = "eu" if text == shown[0] else ""
        form = visitor.get("/data", namespace=namespace).form("/data/find")
        form.set("key", text)
        assert "Shard 9007199254740993" in html.unescape(visitor.submit(form).text)


@pytest.mark.parametrize(
    ("identifier", "value", "path"),
    [("id", "9007199254740993", ("T", 9007199254740993)), ("name", "5", ("T", "5")), ("automatic", "", None)],
)
def test_an_entity_is_added_with_a_chosen_key(
    visitor: Visitor, datastore: Datastore, where: Database, identifier: str, value: str, path: Any
) -> None:
    form = visitor.get("/data/new", kind="T").form("/data/new")
    for name, text in (("identifier", identifier), ("value", value), ("name", "a"), ("text", "first")):
        form.set(name, text)

    page = visitor.submit(form)

    assert page.message == "Added."
    if path is not None:
        assert stored(datastore, key(where, *path)) == entity(where, *path, a="first")


def test_an_entity_is_added_under_a_parent_in_a_new_namespace(
    visitor: Visitor, datastore: Datastore, where: Database
) -> None:
    form = visitor.get("/data/new").form("/data/new")
    filled = {
        "namespace": "fresh",
        "kind": "Child",
        "identifier": "id",
        "value": "7",
        "parent": "KEY(Parent, 'p')",
    }
    for name, text in filled.items():
        form.set(name, text)

    assert visitor.submit(form).message == "Added."

    stored(datastore, key(Database("local-project", "", "fresh"), "Parent", "p", "Child", 7))


def test_an_added_entity_never_replaces_one(visitor: Visitor, datastore: Datastore, where: Database) -> None:
    datastore.upsert_all([entity(where, "T", 1, a="there")])
    form = visitor.get("/data/new", kind="T").form("/data/new")
    for name, text in (("identifier", "id"), ("value", "1"), ("name", "a"), ("text", "new")):
        form.set(name, text)

    page = visitor.submit(form)

    assert page.status == 400
    assert "ALREADY_EXISTS" in page.message
    assert stored(datastore, key(where, "T", 1)) == entity(where, "T", 1, a="there")


def test_a_copy_has_all_properties_with_their_flags_and_meanings(
    visitor: Visitor, datastore: Datastore, where: Database
) -> None:
    source = entity(
        where,
        "T",
        "source",
        text=Value(string_value="long", meaning=15, exclude_from_indexes=True),
        blob=Value(blob_value=bytes(range(256)), exclude_from_indexes=True),
        vector=Value(array_value={"values": [{"double_value": 0.5}]}, meaning=31, exclude_from_indexes=True),
    )
    datastore.upsert_all([source])

    form = visitor.get(look(visitor, source.key).links["Copy"]).form("/data/new")
    form.set("value", "copy")
    assert visitor.submit(form).message == "Added."

    copied = stored(datastore, key(where, "T", "copy"))
    assert {name: data_of(value) for name, value in copied.properties.items()} == {
        name: data_of(value) for name, value in source.properties.items()
    }


def test_deleting_asks_first_and_refuses_what_changed(
    visitor: Visitor, datastore: Datastore, where: Database
) -> None:
    datastore.upsert_all([entity(where, "T", 1, a="x")])
    asked = visitor.get(look(visitor, key(where, "T", 1)).links["Delete…"])
    assert "One entity of kind <strong>T</strong>" in asked.text
    datastore.upsert_all([entity(where, "T", 1, a="y")])

    refused = visitor.submit(asked.form("/data/delete"))
    assert refused.status == 409
    assert "was not deleted" in refused.message

    assert "was deleted" in visitor.submit(refused.form("/data/delete")).message
    assert datastore.lookup(key(where, "T", 1)) is None


def test_an_entity_that_is_not_there_is_told_so(visitor: Visitor, where: Database) -> None:
    page = visitor.get("/data/entity", key=address(key(where, "T", 404)))

    assert page.status == 404
    assert "There is no entity KEY(" in page.message
