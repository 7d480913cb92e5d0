"""An entity as a form, and the form back onto the entity: what was not edited is not touched."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from localcloud.console.errors import Problem
from localcloud.console.keys import Database, completed
from localcloud.console.value_text import TypedText, parse_value, typed_text
from localcloud.console.web import Fields
from localcloud.datastore.messages import Entity

_NEW_ROWS = 3


@dataclass(slots=True)
class Row:
    """A property in the form. `was` is the print of what was shown; empty: it is a new property."""

    name: str = ""
    type: str = "string"
    text: str = ""
    is_indexed: bool = True
    is_removed: bool = False
    was: str = ""
    meaning: int = 0
    # What is wrong with it, or what is stored now.
    note: str = ""

    @property
    def sent_name(self) -> str:
        """What stands in the form: a field of a form would change a line end in a stored name."""
        return json.dumps(self.name) if self.was else self.name

    @property
    def is_edited(self) -> bool:
        return self.is_removed or self.was != self._print()

    @property
    def lines(self) -> int:
        """How high its field is."""
        return min(12, max(self.text.count("\n") + 1, -(-len(self.text) // 60)))

    def sealed(self) -> Row:
        """The row, remembering that this is what is stored."""
        self.was = self._print()
        return self

    def _print(self) -> str:
        text = f"{self.type}\n{self.is_indexed}\n{self.text}"
        return hashlib.sha256(text.encode()).hexdigest()[:24]


def rows_of(entity: Any) -> list[Row]:
    """One for each property, by name."""
    rows = []
    for name in sorted(entity.properties):
        value = entity.properties[name]
        typed = typed_text(value)
        # For an array, each element says it itself.
        is_indexed = typed.type == "array" or not value.exclude_from_indexes
        row = Row(name, typed.type, typed.text, is_indexed, meaning=value.meaning)
        rows.append(row.sealed())
    return rows


def new_rows() -> list[Row]:
    """Empty ones, to add properties."""
    return [Row() for _ in range(_NEW_ROWS)]


def read_rows(form: Fields) -> list[Row]:
    """The rows of a form that was sent. New ones without a name and a text are left out. Raises Problem."""
    columns = [form.all(name) for name in ("name", "type", "text", "was", "index")]
    rows = []
    try:
        for name, kind, text, was, number in zip(*columns, strict=True):
            row = Row(
                json.loads(name) if was else name.strip(),
                kind,
                text.replace("\r\n", "\n"),  # as a browser sends the line ends of a text field
                f"indexed-{number}" in form or kind == "array",
                f"remove-{number}" in form,
                was,
            )
            if was or name or text:
                rows.append(row)
    except ValueError:
        raise Problem("The form is not complete: load the page again.") from None
    return rows


def apply_rows(rows: Sequence[Row], entity: Any) -> list[Row]:
    """Write the edited rows onto the entity. Returns those that can't be, each with its `note`."""
    wrong = []
    for row in rows:
        if not row.is_edited:
            continue
        try:
            _apply(row, entity)
        except Problem as problem:
            row.note = problem.text
            wrong.append(row)
    return wrong


def copy_of(entity: Any) -> Any:
    """A message of its own."""
    copied = Entity()
    copied.CopyFrom(entity)
    return copied


def merged(rows: Sequence[Row], entity: Any) -> list[Row]:
    """The form after the entity was changed by somebody else: their values, and under them the edits."""
    edited = {row.name: row for row in rows if row.is_edited}
    shown = []
    for stored in rows_of(entity):
        mine = edited.pop(stored.name, None)
        if mine is None:
            shown.append(stored)
        elif mine.was == stored.was:
            shown.append(mine)
        else:
            mine.note = f"Stored by now: {stored.text or '(empty)'} ({stored.type})"
            mine.was = stored.was
            shown.append(mine)
    for mine in edited.values():
        if mine.was and not mine.is_removed:
            mine.note = "Removed by now: saving adds it again."
            mine.was = ""
        if not mine.is_removed:
            shown.append(mine)
    return shown


def _apply(row: Row, entity: Any) -> None:
    stored = entity.properties.get(row.name)
    if row.is_removed:
        if stored is not None:
            del entity.properties[row.name]
        return
    if not row.name:
        raise Problem("A new property needs a name.")
    if stored is not None and not row.was:
        raise Problem(f"There is a property {row.name!r} already.")
    value = parse_value(TypedText(row.type, row.text))
    if value.HasField("key_value"):
        completed(value.key_value, Database.of(entity.key))
    if stored is not None and stored.WhichOneof("value_type") == value.WhichOneof("value_type"):
        value.meaning = stored.meaning
    if value.WhichOneof("value_type") != "array_value":
        value.exclude_from_indexes = not row.is_indexed
    elif stored is not None and stored.HasField("array_value"):
        value.exclude_from_indexes = stored.exclude_from_indexes
    entity.properties[row.name].CopyFrom(value)
