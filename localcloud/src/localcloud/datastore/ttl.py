"""TTL policies: entities go once the time in one of their properties is past.

Real service: deletion comes some time after expiry (typically within 24 hours), is not transactional, leaves
descendants, and an expired entity that is still there is still read; a value that is not a timestamp means
never. Deletions are billed as deletes. (Documentation, "Manage data retention with TTL policies".)

We differ: a sweep begins every half minute, so that one can watch it.
"""

from __future__ import annotations

from collections.abc import Sequence

from localcloud.datastore.catalog import Partition
from localcloud.datastore.clock import Clock
from localcloud.datastore.commits import Committer
from localcloud.datastore.messages import Entity, timestamp_us
from localcloud.datastore.storage import Storage

_PAGE = 250


class Sweeper:
    """Walks through the kinds that have a policy, a page at a time, from the first key to the last."""

    def __init__(
        self, storage: Storage, committer: Committer, policies: Sequence[tuple[str, str]], clock: Clock
    ) -> None:
        self._storage = storage
        self._committer = committer
        self._policies = policies
        self._clock = clock
        self._walks: list[tuple[int, str, bytes]] = []
        """What is left of the sweep under way: scope, property, and the last key seen."""

    def begin(self) -> None:
        """Begin a sweep, if none is under way."""
        if self._walks:
            return
        for partition in self._partitions():
            for kind, name in self._policies:
                scope = self._storage.catalog.find_scope(partition.id, kind, "")
                if scope is not None:
                    self._walks.append((scope, name, b""))

    def step(self) -> bool:
        """Look at the next page; False if the sweep is done."""
        if not self._walks:
            return False
        scope, name, after = self._walks.pop(0)
        with self._storage.reading() as connection:
            rows = connection.execute(
                "SELECT e.key, e.data FROM index_row i CROSS JOIN entity e ON e.key = i.key"
                " WHERE i.scope = ? AND i.value = x'' AND i.key > ? ORDER BY i.key LIMIT ?",
                (scope, after, _PAGE),
            ).fetchall()
        expired = [key for key, data in rows if self._is_expired(data, name)]
        if expired:
            self._committer.delete_if(expired, lambda data: self._is_expired(data, name))
        if len(rows) == _PAGE:
            self._walks.insert(0, (scope, name, rows[-1][0]))
        return bool(self._walks)

    def sweep(self) -> None:
        """A whole sweep, at once."""
        self.begin()
        while self.step():
            pass

    def _partitions(self) -> list[Partition]:
        return self._storage.catalog.all_partitions()

    def _is_expired(self, data: bytes, name: str) -> bool:
        entity = Entity.FromString(data)
        if name not in entity.properties:
            return False
        value = entity.properties[name]
        return value.HasField("timestamp_value") and timestamp_us(value.timestamp_value) <= self._clock()
