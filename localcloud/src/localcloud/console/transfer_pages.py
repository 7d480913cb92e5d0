"""Export and import from the browser."""

from __future__ import annotations

import re
from collections.abc import Iterator
from http import HTTPStatus

from localcloud.console.console import Console
from localcloud.console.errors import Problem
from localcloud.console.keys import Database
from localcloud.console.queries import View
from localcloud.console.transfer import export_lines, read_lines, write
from localcloud.console.web import Request, Response, see_other


def export(console: Console, request: Request) -> Response:
    """What the list's address shows, all of it, as a file."""
    where, view = console.database(request.query), View.of(request.query)
    lines = export_lines(console.datastore, where, view.query(where), view.tests())
    first = next(lines)  # a refusal is a page, not text in the middle of a file
    name = re.sub(r"[^\w.-]+", "-", view.kind or where.namespace or "entities", flags=re.ASCII)

    def pieces() -> Iterator[bytes]:
        yield first
        yield from lines

    return Response(
        HTTPStatus.OK,
        pieces(),
        "application/jsonl; charset=utf-8",
        {"Content-Disposition": f'attachment; filename="{name}.jsonl"'},
    )


def form(console: Console, request: Request) -> Response:
    return _page(console, console.database(request.query))


def import_lines(console: Console, request: Request) -> Response:
    """Write the entities of a file, or of a text, if all of its lines are right."""
    where = console.database(request.form)
    data = request.files.get("file") or request.form.get("text").encode()
    try:
        entities = read_lines(data.splitlines(), where)
        if not entities:
            raise Problem("There is no line with an entity.")
        write(console.datastore, entities)
    except Problem as problem:
        return _page(console, where, problem.text, request.form.get("text"))
    return see_other("/data", **console.where(where), done=f"{len(entities):,} entities were imported.")


def _page(console: Console, where: Database, problem: str = "", text: str = "") -> Response:
    return console.page(
        "import.html",
        status=HTTPStatus.BAD_REQUEST if problem else HTTPStatus.OK,
        where=where,
        at=console.where(where),
        problem=problem,
        text=text,
    )
