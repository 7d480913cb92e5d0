"""The numbers that stand for partitions and index scopes in keys and index rows."""

from __future__ import annotations

import sqlite3
import threading
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Partition:
    """A namespace of a database of a project."""

    id: int
    project: str
    database: str
    namespace: str

    @property
    def prefix(self) -> bytes:
        """What the keys of this partition begin with in the database."""
        return self.id.to_bytes(4, "big")


class Catalog:
    """Remembers every partition and scope; new ones are written at once, by themselves.

    A number that was given out and is then not used, since the commit it was for failed, does no harm.
    """

    def __init__(self, writer: sqlite3.Connection, mutex: threading.RLock) -> None:
        self._writer = writer
        self._mutex = mutex
        self._partitions: dict[tuple[str, str, str], Partition] = {}
        self._by_id: dict[int, Partition] = {}
        self._scopes: dict[tuple[int, str, str], int] = {}
        self.load()

    def load(self) -> None:
        """Read everything again, as at the start."""
        with self._mutex:
            self._partitions.clear()
            self._by_id.clear()
            self._scopes.clear()
            for id_, project, database, namespace in self._writer.execute(
                "SELECT id, project, database, namespace FROM partition"
            ):
                self._remember(Partition(id_, project, database, namespace))
            for id_, partition, kind, name in self._writer.execute(
                "SELECT id, partition, kind, property FROM scope"
            ):
                self._scopes[partition, kind, name] = id_

    def partition(self, project: str, database: str, namespace: str) -> Partition:
        """The partition, numbered now if it is new."""
        found = self._partitions.get((project, database, namespace))
        if found is not None:
            return found
        with self._mutex:
            found = self._partitions.get((project, database, namespace))
            if found is None:
                cursor = self._writer.execute(
                    "INSERT INTO partition (project, database, namespace) VALUES (?, ?, ?)",
                    (project, database, namespace),
                )
                assert cursor.lastrowid is not None
                found = Partition(cursor.lastrowid, project, database, namespace)
                self._remember(found)
            return found

    def partition_of(self, encoded_key: bytes) -> Partition:
        """The partition of a key in the database."""
        return self._by_id[int.from_bytes(encoded_key[:4], "big")]

    def partitions(self, project: str, database: str) -> list[Partition]:
        """All partitions of a database, by namespace."""
        found = [
            each for each in self.all_partitions() if (each.project, each.database) == (project, database)
        ]
        return sorted(found, key=lambda each: each.namespace)

    def all_partitions(self) -> list[Partition]:
        """Every partition of every database."""
        return list(self._by_id.values())

    def find_scope(self, partition: int, kind: str, name: str) -> int | None:
        """The scope's number; None if nothing was ever indexed there."""
        return self._scopes.get((partition, kind, name))

    def scope(self, partition: int, kind: str, name: str) -> int:
        """The scope's number, given now if it is new."""
        found = self._scopes.get((partition, kind, name))
        if found is not None:
            return found
        with self._mutex:
            found = self._scopes.get((partition, kind, name))
            if found is None:
                cursor = self._writer.execute(
                    "INSERT INTO scope (partition, kind, property) VALUES (?, ?, ?)", (partition, kind, name)
                )
                assert cursor.lastrowid is not None
                found = self._scopes[partition, kind, name] = cursor.lastrowid
            return found

    def scopes(self, partition: int) -> list[tuple[str, str, int]]:
        """Kind, property and number of every scope of a partition, in the order of the names' bytes."""
        found = [
            (kind, name, id_) for (owner, kind, name), id_ in list(self._scopes.items()) if owner == partition
        ]
        return sorted(found, key=lambda each: (each[0].encode(), each[1].encode()))

    def _remember(self, partition: Partition) -> None:
        self._partitions[partition.project, partition.database, partition.namespace] = partition
        self._by_id[partition.id] = partition
