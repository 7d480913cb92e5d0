"""What there is to look at: databases, their namespaces and kinds, with counts and sizes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from localcloud.console.console import Console
from localcloud.console.keys import Database
from localcloud.console.surroundings import side_port
from localcloud.datastore import messages as m

_MOST_KINDS = 200


@dataclass(frozen=True, slots=True)
class Kind:
    """`bytes` is an estimate; None: not known, as `count` above what was counted."""

    where: Database
    name: str
    count: int
    bytes: int | None


def all_kinds(console: Console, where: Database) -> list[Kind]:
    """Every kind that has entities: of all databases, if the server tells; else of `where`'s."""
    if console.around.datastore_http is not None:
        told = side_port(console.around.datastore_http, "GET", "/statistics")
        return [
            Kind(
                Database(each["project"], each["database"], each["namespace"]),
                each["kind"],
                each["count"],
                each["bytes"],
            )
            for each in told
        ]
    return [kind for each in _namespaces(console, where) for kind in _kinds(console, each)]


def count_of(console: Console, where: Database, kind: str) -> int:
    """How many entities of the kind there are."""
    if console.around.datastore_http is None:
        return console.datastore.count(where, m.Query(kind=[{"name": kind}]))
    found = all_kinds(console, where)
    return next((each.count for each in found if (each.where, each.name) == (where, kind)), 0)


def of_database(kinds: Sequence[Kind], where: Database) -> list[tuple[str, list[Kind]]]:
    """The namespaces of the database, each with its kinds."""
    namespaces: dict[str, list[Kind]] = {}
    for kind in sorted(kinds, key=lambda each: (each.where.namespace, each.name)):
        if (kind.where.project, kind.where.database) == (where.project, where.database):
            namespaces.setdefault(kind.where.namespace, []).append(kind)
    return list(namespaces.items())


def databases(kinds: Sequence[Kind], where: Database) -> list[Database]:
    """All that have entities, and the one that is looked at."""
    found = {Database(each.where.project, each.where.database) for each in kinds}
    found.add(Database(where.project, where.database))
    return sorted(found, key=lambda each: (each.project, each.database))


def _namespaces(console: Console, where: Database) -> list[Database]:
    query = m.Query(kind=[{"name": "__namespace__"}])
    names = [
        path[-1].name if path[-1].WhichOneof("id_type") == "name" else ""
        for path in (each.entity.key.path for each in console.datastore.each(where, query))
    ]
    return [Database(where.project, where.database, name) for name in names]


def _kinds(console: Console, where: Database) -> list[Kind]:
    page = console.datastore.page(where, m.Query(kind=[{"name": "__kind__"}], limit={"value": _MOST_KINDS}))
    names = [each.entity.key.path[-1].name for each in page.results]
    return [
        Kind(where, name, console.datastore.count(where, m.Query(kind=[{"name": name}])), None)
        for name in names
        if not name.startswith("__")
    ]
