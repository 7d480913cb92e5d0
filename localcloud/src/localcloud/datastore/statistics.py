"""What is in the database, by project, database, namespace and kind: how many entities, about how many bytes.

We differ: the real service keeps such figures as entities of kinds like __Stat_Kind__, a day old. Here the
counts are exact and current, and the HTTP side port gives them.
"""

from __future__ import annotations

import threading
from typing import Any

from localcloud.datastore.storage import Storage

_SAMPLED_ENTITIES = 100


class Statistics:
    """Counts when asked, and again only after the database has changed."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self._mutex = threading.Lock()
        self._version = -1
        self._known: list[dict[str, Any]] = []

    def as_json(self) -> list[dict[str, Any]]:
        """One object for each kind that has entities; `bytes` is estimated from some of them."""
        with self._mutex:
            with self._storage.reading() as connection:
                version = self._storage.snapshot_version(connection)
                if version != self._version:
                    self._known = self._count(connection)
                    self._version = version
            return self._known

    def clear(self) -> None:
        """Everything was forgotten, without a commit."""
        with self._mutex:
            self._version = -1

    def _count(self, connection: Any) -> list[dict[str, Any]]:
        found = []
        for partition in self._storage.catalog.all_partitions():
            for kind, name, scope in self._storage.catalog.scopes(partition.id):
                if name:
                    continue
                (count,) = connection.execute(
                    "SELECT count(*) FROM index_row WHERE scope = ?", (scope,)
                ).fetchone()
                if not count:
                    continue
                (average,) = connection.execute(
                    "SELECT avg(length(data)) FROM (SELECT entity.data FROM index_row JOIN entity"
                    " ON entity.key = index_row.key WHERE index_row.scope = ? LIMIT ?)",
                    (scope, _SAMPLED_ENTITIES),
                ).fetchone()
                found.append(
                    {
                        "project": partition.project,
                        "database": partition.database,
                        "namespace": partition.namespace,
                        "kind": kind,
                        "count": count,
                        "bytes": round(average * count),
                    }
                )
        return found
