"""The pages of one entity: look, edit, add, copy, delete."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from localcloud.console.console import Console
from localcloud.console.datastore import Changed, Stored
from localcloud.console.entity_form import Row, apply_rows, copy_of, merged, new_rows, read_rows, rows_of
from localcloud.console.errors import Problem
from localcloud.console.key_literals import key_literal, path_text
from localcloud.console.keys import Database, address, parse_address, parse_key, spellings
from localcloud.console.value_text import TYPES, short_text, type_name
from localcloud.console.web import Request, Response, see_other
from localcloud.datastore.messages import Entity, Key


def find(console: Console, request: Request) -> Response:
    """To the entity of a pasted key, in any spelling."""
    key = parse_key(request.query.get("key"), console.database(request.query))
    return see_other("/data/entity", key=address(key))


def show(console: Console, request: Request) -> Response:
    """Every property with type, value and whether it is indexed; the same page is the form."""
    key = parse_address(request.query.get("key"))
    stored = _stored(console, key)
    return _entity_page(console, stored, rows_of(stored.entity) + new_rows(), done=request.query.get("done"))


def save(console: Console, request: Request) -> Response:
    """Write what was edited onto the entity, unless it has changed since it was shown."""
    key = parse_address(request.form.get("key"))
    rows = read_rows(request.form)
    stored = _stored(console, key)
    if request.form.get("version") != str(stored.version):
        return _changed(console, stored, rows)
    if not any(row.is_edited for row in rows):
        return see_other("/data/entity", key=address(key), done="Nothing was edited, nothing written.")
    entity = copy_of(stored.entity)
    if apply_rows(rows, entity):
        return _entity_page(console, stored, rows, problem="Nothing was written: see below.")
    edited = ", ".join(row.name for row in rows if row.is_edited)
    try:
        console.datastore.update(entity, stored.version)
    except Changed:
        return _changed(console, _stored(console, key), rows)
    except Problem as refused:
        return _entity_page(console, stored, rows, problem=f"Nothing was written: {refused.text}")
    return see_other("/data/entity", key=address(key), done=f"Saved: {edited}.")


def new(console: Console, request: Request) -> Response:
    """The form of a new entity: an empty one, or a copy."""
    copied = request.query.get("copy")
    if not copied:
        where = console.database(request.query)
        return _new_page(console, where, {"kind": request.query.get("kind")}, new_rows())
    source = _stored(console, parse_address(copied)).entity
    last = source.key.path[-1]
    fields = {
        "kind": last.kind,
        "identifier": "name" if last.WhichOneof("id_type") == "name" else "automatic",
    }
    if len(source.key.path) > 1:
        parent = Key()
        parent.CopyFrom(source.key)
        del parent.path[-1]
        fields["parent"] = key_literal(parent)
    rows = rows_of(source)
    for row in rows:
        row.was = ""
    return _new_page(console, Database.of(source.key), {**fields, "copy": copied}, rows + new_rows())


def add(console: Console, request: Request) -> Response:
    """Write a new entity; never over one that is there."""
    where = console.database(request.form)
    fields = {name: request.form.get(name) for name in ("kind", "identifier", "value", "parent", "copy")}
    rows = read_rows(request.form)
    try:
        entity = Entity()
        entity.key.CopyFrom(_new_key(where, fields))
        if apply_rows(rows, entity):
            return _new_page(console, where, fields, rows, "Nothing was written: see below.")
        _keep_meanings(console, fields["copy"], entity)
        key = console.datastore.insert(entity)
    except Problem as problem:
        return _new_page(console, where, fields, rows, f"Nothing was written: {problem.text}")
    return see_other("/data/entity", key=address(key), done="Added.")


def confirm_delete(console: Console, request: Request) -> Response:
    stored = _stored(console, parse_address(request.query.get("key")))
    return _delete_page(console, stored, "")


def delete(console: Console, request: Request) -> Response:
    """Delete the entity, unless it has changed since it was shown."""
    key = parse_address(request.form.get("key"))
    stored = _stored(console, key)
    try:
        if request.form.get("version") != str(stored.version):
            raise Changed("The entity was changed in the meantime: it was not deleted.")
        console.datastore.delete(key, stored.version)
    except Changed as changed:
        return _delete_page(console, _stored(console, key), changed.text)
    where = console.where(Database.of(key))
    return see_other("/data/kind", **where, kind=key.path[-1].kind, done=f"{path_text(key)} was deleted.")


def _stored(console: Console, key: Any) -> Stored:
    stored = console.datastore.lookup(key)
    if stored is None:
        raise Problem(f"There is no entity {key_literal(key)}.", HTTPStatus.NOT_FOUND)
    return stored


def _changed(console: Console, stored: Stored, rows: list[Row]) -> Response:
    text = (
        "The entity was changed in the meantime: nothing was written. Below is what is stored by now, "
        "with your edits. Saving again writes them onto it."
    )
    return _entity_page(
        console, stored, merged(rows, stored.entity), problem=text, status=HTTPStatus.CONFLICT
    )


def _entity_page(
    console: Console,
    stored: Stored,
    rows: list[Row],
    problem: str = "",
    done: str = "",
    status: int = HTTPStatus.BAD_REQUEST,
) -> Response:
    key = stored.entity.key
    where = Database.of(key)
    parents = []
    for length in range(1, len(key.path)):
        parent = Key()
        parent.CopyFrom(key)
        del parent.path[length:]
        parents.append((path_text(parent), address(parent)))
    return console.page(
        "entity.html",
        status=status if problem else HTTPStatus.OK,
        where=where,
        at=console.where(where),
        kind=key.path[-1].kind,
        key=address(key),
        title=path_text(key),
        spellings=spellings(key),
        parents=parents,
        version=stored.version,
        size=stored.entity.ByteSize(),
        rows=rows,
        types=list(TYPES),
        problem=problem,
        done=done,
    )


def _new_page(
    console: Console, where: Database, fields: dict[str, str], rows: list[Row], problem: str = ""
) -> Response:
    given = {"kind": "", "identifier": "automatic", "value": "", "parent": "", "copy": "", **fields}
    return console.page(
        "new_entity.html",
        status=HTTPStatus.BAD_REQUEST if problem else HTTPStatus.OK,
        where=where,
        at=console.where(where),
        given=given,
        rows=rows,
        types=list(TYPES),
        problem=problem,
    )


def _delete_page(console: Console, stored: Stored, problem: str) -> Response:
    where = Database.of(stored.entity.key)
    properties = [
        (name, short_text(stored.entity.properties[name]), type_name(stored.entity.properties[name]))
        for name in sorted(stored.entity.properties)
    ]
    return console.page(
        "delete_entity.html",
        status=HTTPStatus.CONFLICT if problem else HTTPStatus.OK,
        where=where,
        at=console.where(where),
        kind=stored.entity.key.path[-1].kind,
        key=address(stored.entity.key),
        title=path_text(stored.entity.key),
        version=stored.version,
        properties=properties,
        problem=problem,
    )


def _new_key(where: Database, fields: dict[str, str]) -> Any:
    """The key of a new entity: its id given by the server, or chosen, or a name. Raises Problem."""
    key = parse_key(fields["parent"], where) if fields["parent"].strip() else Key()
    if not key.path:
        where.partition(key.partition_id)
    if not fields["kind"]:
        raise Problem("A new entity needs a kind.")
    element = key.path.add(kind=fields["kind"])
    value = fields["value"]
    if fields["identifier"] == "name":
        if not value:
            raise Problem("A key's name must not be empty.")
        element.name = value
    elif fields["identifier"] == "id":
        if not value.strip().lstrip("-").isdecimal() or not -(1 << 63) <= int(value) < 1 << 63:
            raise Problem(f"{value!r} is not an id. Expected a whole number of 64 bits.")
        element.id = int(value)
    return key


def _keep_meanings(console: Console, copied: str, entity: Any) -> None:
    """A copy's properties mean what those of its source do, where the type has stayed."""
    source = console.datastore.lookup(parse_address(copied)) if copied else None
    for name, value in source.entity.properties.items() if source else ():
        mine = entity.properties.get(name)
        if mine is not None and mine.WhichOneof("value_type") == value.WhichOneof("value_type"):
            mine.meaning = value.meaning
            if value.HasField("array_value"):
                mine.exclude_from_indexes = value.exclude_from_indexes
