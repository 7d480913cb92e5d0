"""The pages of databases, kinds and lists of entities."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from http import HTTPStatus
from typing import Any

from localcloud.console.console import Console
from localcloud.console.datastore import MOST_MUTATIONS, Stored
from localcloud.console.errors import Problem
from localcloud.console.key_literals import path_text
from localcloud.console.keys import Database, address
from localcloud.console.kinds import all_kinds, count_of, databases, of_database
from localcloud.console.queries import ALL_OPERATORS, GUESSED, FilterText, View, missing_indexes
from localcloud.console.scanning import scan
from localcloud.console.typed_json import base64_text, parse_base64
from localcloud.console.value_text import TYPES, short_text, type_name, typed_text
from localcloud.console.web import Request, Response, see_other
from localcloud.datastore import messages as m

PAGE_SIZE = 50
_MOST_COLUMNS = 12
# Filtered results are counted up to here: it must not take long, whatever the filter.
_MOST_COUNTED = 1_000
# GQL that another method runs.
_AGGREGATION = re.compile(r"\s*(AGGREGATE\b|SELECT\s+(COUNT|COUNT_UP_TO|SUM|AVG)\s*\()", re.IGNORECASE)


def kinds(console: Console, request: Request) -> Response:
    """Databases, namespaces, kinds."""
    where = console.database(request.query)
    found = all_kinds(console, where)
    return console.page(
        "kinds.html",
        where=where,
        at=console.where(where),
        databases=[(each, console.where(each)) for each in databases(found, where)],
        namespaces=[
            (name, console.where(Database(where.project, where.database, name)), rows)
            for name, rows in of_database(found, where)
        ],
        done=request.query.get("done"),
    )


def entities(console: Console, request: Request) -> Response:
    """A page of a kind's entities, filtered and sorted as the address says."""
    where, view = console.database(request.query), View.of(request.query)
    cursor = parse_base64(request.query.get("cursor"))
    problem, following, count, indexes = "", b"", "", []
    results: Sequence[Stored] = ()
    try:
        query, tests = view.query(where), view.tests()
        indexes = missing_indexes(where, query)
        if tests:
            found = scan(console.datastore, where, query, tests, cursor, PAGE_SIZE)
            results, following, count = found.results, found.cursor, f"{found.read:,}"
        else:
            limited = m.Query()
            limited.CopyFrom(query)
            limited.limit.value = PAGE_SIZE
            page = console.datastore.page(where, limited, cursor)
            results, following = page.results, page.cursor
            count = _count(console, where, view, query)
    except Problem as refused:
        problem = refused.text
    return console.page(
        "entities.html",
        status=HTTPStatus.BAD_REQUEST if problem else HTTPStatus.OK,
        where=where,
        at=console.where(where),
        view=view,
        params={**console.where(where), **view.params()},
        filters=[*view.filters, FilterText()],
        operators=ALL_OPERATORS,
        types=[GUESSED, *TYPES],
        table=_table(results, view.columns),
        next=base64_text(following),
        is_scan=bool(view.tests()) if not problem else False,
        is_first=not cursor,
        count=count,
        problem=problem,
        indexes=[] if problem else indexes,
        done=request.query.get("done"),
    )


def gql(console: Console, request: Request) -> Response:
    """GQL typed by hand, and what the server makes of it."""
    where, text = console.database(request.query), request.query.get("q")
    problem, page, figures = "", None, []
    if text.strip():
        try:
            if _AGGREGATION.match(text):
                found = console.datastore.aggregate_gql(where, text)
                figures = [(name, typed_text(value).text) for name, value in sorted(found.items())]
            else:
                page = console.datastore.gql(where, text)
        except Problem as refused:
            problem = refused.text
    return console.page(
        "gql.html",
        status=HTTPStatus.BAD_REQUEST if problem else HTTPStatus.OK,
        where=where,
        at=console.where(where),
        text=text,
        table=_table(page.results if page else [], []),
        has_run=page is not None,
        figures=figures,
        is_cut=bool(page and page.cursor),
        indexes=missing_indexes(where, page.query) if page else [],
        problem=problem,
    )


def confirm_delete_kind(console: Console, request: Request) -> Response:
    """Says what would be deleted, and asks for the kind's name."""
    return _confirm_delete_kind(console, *_kind_to_delete(console, request.query), problem="")


def delete_kind(console: Console, request: Request) -> Response:
    """Delete all entities of a kind in one namespace, if its name was typed."""
    where, kind = _kind_to_delete(console, request.form)
    if request.form.get("typed") != kind:
        problem = f"Nothing was deleted: {request.form.get('typed')!r} is not the name of the kind."
        return _confirm_delete_kind(console, where, kind, problem)
    query = m.Query(kind=[{"name": kind}], limit={"value": MOST_MUTATIONS})
    query.projection.add().property.name = "__key__"
    count = 0
    while keys := [each.entity.key for each in console.datastore.page(where, query).results]:
        console.datastore.delete_all(keys)
        count += len(keys)
    return see_other("/data", **console.where(where), done=f"{count:,} entities of kind {kind} were deleted.")


def _kind_to_delete(console: Console, fields: Any) -> tuple[Database, str]:
    kind = fields.get("kind")
    if not kind:
        raise Problem("A kind must be named.")
    return console.database(fields), kind


def _confirm_delete_kind(console: Console, where: Database, kind: str, problem: str) -> Response:
    return console.page(
        "delete_kind.html",
        status=HTTPStatus.BAD_REQUEST if problem else HTTPStatus.OK,
        where=where,
        at=console.where(where),
        kind=kind,
        count=count_of(console, where, kind),
        problem=problem,
    )


def _count(console: Console, where: Database, view: View, query: Any) -> str:
    """How many results there are in all: exact for a whole kind, else up to a thousand."""
    if view.kind and not view.filters:
        return f"{count_of(console, where, view.kind):,}"
    count = console.datastore.count(where, query, _MOST_COUNTED + 1)
    return f"over {_MOST_COUNTED:,}" if count > _MOST_COUNTED else f"{count:,}"


def _table(results: Sequence[Stored], first: Iterable[str]) -> dict[str, Any]:
    """Columns and rows; the columns that the view is about come first."""
    names = dict.fromkeys(first)
    others = {name for each in results for name in each.entity.properties}
    names.update(dict.fromkeys(sorted(others)))
    columns = list(names)[:_MOST_COLUMNS]
    rows = [
        {
            "address": address(each.entity.key) if each.entity.key.path else "",
            "key": path_text(each.entity.key),
            "cells": [_cell(each.entity, name) for name in columns],
        }
        for each in results
    ]
    # A column that has only numbers is aligned to the right, with its head.
    numbers = [
        name
        for place, name in enumerate(columns)
        if {row["cells"][place][1] for row in rows} <= {"integer", "double", ""}
    ]
    return {"columns": columns, "rows": rows, "numbers": numbers, "left_out": len(names) - len(columns)}


def _cell(entity: Any, name: str) -> tuple[str, str]:
    """Text and type; without a type, the entity has no such property."""
    if name not in entity.properties:
        return "", ""
    value = entity.properties[name]
    return short_text(value), type_name(value)
