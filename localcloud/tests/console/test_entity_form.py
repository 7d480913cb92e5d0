"""An edit writes what was edited, and nothing else."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from localcloud.console.entity_form import Row, apply_rows, copy_of, merged, read_rows, rows_of
from localcloud.console.web import Fields
from localcloud.datastore.messages import Entity, Value

from tests.console.entities import data_of, key, properties
from tests.console.test_keys import WHERE


def sent(rows: list[Row]) -> Fields:
    """What a browser sends of these rows: line ends as CR LF, boxes only where they are ticked."""
    pairs = []
    for number, row in enumerate(rows):
        text = row.text.replace("\n", "\r\n")
        for name, value in (
            ("name", row.sent_name),
            ("type", row.type),
            ("text", text),
            ("was", row.was),
            ("index", str(number)),
        ):
            pairs.append((name, value))
        if row.is_indexed:
            pairs.append((f"indexed-{number}", "1"))
        if row.is_removed:
            pairs.append((f"remove-{number}", "1"))
    return Fields(pairs)


def entity_of(found: dict[str, Any]) -> Any:
    entity = Entity(key=key(WHERE, "Kind", 1))
    for name, value in found.items():
        entity.properties[name].CopyFrom(value)
    return entity


@settings(max_examples=50)
@given(properties)
def test_looking_and_saving_writes_nothing(found: dict[str, Any]) -> None:
    entity = entity_of(found)

    rows = read_rows(sent(rows_of(entity)))

    assert not any(row.is_edited for row in rows)
    edited = copy_of(entity)
    assert apply_rows(rows, edited) == []
    assert data_of(edited) == data_of(entity)


@settings(max_examples=50)
@given(properties, st.data())
def test_editing_one_property_leaves_the_bytes_of_all_others(
    found: dict[str, Any], data: st.DataObject
) -> None:
    entity = entity_of(found)
    rows = rows_of(entity)
    row = data.draw(st.sampled_from(rows))
    row.type, row.text = "integer", "-5"

    edited = copy_of(entity)
    assert apply_rows(read_rows(sent(rows)), edited) == []

    assert edited.properties[row.name].integer_value == -5
    for name in found:
        if name != row.name:
            assert data_of(edited.properties[name]) == data_of(entity.properties[name])


@settings(max_examples=50)
@given(properties, st.data())
def test_changing_whether_it_is_indexed_leaves_the_value(found: dict[str, Any], data: st.DataObject) -> None:
    entity = entity_of(found)
    rows = [row for row in rows_of(entity) if not found[row.name].HasField("array_value")]
    if not rows:
        return
    row = data.draw(st.sampled_from(rows))
    row.is_indexed = not row.is_indexed

    edited = copy_of(entity)
    assert apply_rows(read_rows(sent(rows)), edited) == []

    expected = copy_of(entity)
    expected.properties[row.name].exclude_from_indexes = not row.is_indexed
    assert data_of(edited) == data_of(expected)


def test_a_meaning_stays_as_long_as_the_type_does() -> None:
    entity = entity_of({"text": Value(string_value="a", meaning=15, exclude_from_indexes=True)})
    (row,) = rows_of(entity)
    row.text = "b"
    apply_rows([row], entity)
    assert entity.properties["text"] == Value(string_value="b", meaning=15, exclude_from_indexes=True)

    (row,) = rows_of(entity)
    row.type, row.text = "integer", "1"
    apply_rows([row], entity)
    assert entity.properties["text"] == Value(integer_value=1, exclude_from_indexes=True)


def test_an_empty_string_is_a_string_and_a_removed_property_is_gone() -> None:
    entity = entity_of({"a": Value(string_value="x"), "b": Value(string_value="y")})
    a, b = rows_of(entity)
    a.text = ""
    b.is_removed = True

    assert apply_rows(read_rows(sent([a, b])), entity) == []

    assert dict(entity.properties) == {"a": Value(string_value="")}


def test_what_cannot_be_parsed_is_told_at_its_row() -> None:
    entity = entity_of({"a": Value(integer_value=1), "b": Value(integer_value=2)})
    a, b = rows_of(entity)
    a.text, b.text = "one", "3"

    (wrong,) = apply_rows([a, b], entity)

    assert wrong is a
    assert "not an integer" in wrong.note


def test_after_somebody_elses_change_the_form_shows_theirs_and_keeps_ones_own() -> None:
    seen = entity_of({name: Value(integer_value=1) for name in ("mine", "theirs", "both", "gone")})
    rows = rows_of(seen)
    for row in rows:
        if row.name in ("mine", "both", "gone"):
            row.text = "100"
    now = entity_of(
        {"mine": Value(integer_value=1), "theirs": Value(integer_value=2), "both": Value(integer_value=3)}
    )

    shown = {row.name: row for row in merged(rows, now)}

    assert {name: row.text for name, row in shown.items()} == {
        "mine": "100",
        "theirs": "2",
        "both": "100",
        "gone": "100",
    }
    assert "Stored by now: 3" in shown["both"].note
    assert "Removed by now" in shown["gone"].note
    assert apply_rows(read_rows(sent(list(shown.values()))), now) == []
    assert {name: value.integer_value for name, value in now.properties.items()} == {
        "mine": 100,
        "theirs": 2,
        "both": 100,
        "gone": 100,
    }
