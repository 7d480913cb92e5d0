"""The kinds that tell what is in a database: __namespace__, __kind__ and __property__.

Real service: their entities are made for the query; only indexed properties appear; they can be filtered by
key and sorted by key, ascending (documentation, "Metadata").

We differ: the statistics kinds, __Stat_Total__ and the like, are always empty.
"""

from __future__ import annotations

from collections.abc import Iterator

from localcloud.datastore.catalog import Partition
from localcloud.datastore.cursors import Cursor
from localcloud.datastore.errors import invalid
from localcloud.datastore.key_encoding import Element, encode_path, key_message
from localcloud.datastore.limits import is_reserved
from localcloud.datastore.messages import Entity, Message
from localcloud.datastore.query_filters import each_path
from localcloud.datastore.query_plan import Plan
from localcloud.datastore.query_sql import Source
from localcloud.datastore.query_stream import Item
from localcloud.datastore.value_encoding import representation_of

NAMESPACE = "__namespace__"
KIND = "__kind__"
PROPERTY = "__property__"
METADATA_KINDS = (NAMESPACE, KIND, PROPERTY)
_EMPTY_NAMESPACE_ID = 1


class MetadataStream:
    """The results of a query on one of these kinds; to a batch what `Stream` is."""

    def __init__(self, plan: Plan, source: Source) -> None:
        if plan.columns or plan.projection or plan.is_key_descending or any(each_path(plan.alternatives)):
            raise invalid(f"A query on {plan.kind} may filter by __key__ only, and sort by it, ascending.")
        self._plan = plan
        self._source = source
        self._entities: dict[bytes, Message] = {}
        self.rows_scanned = 0

    def results(self, start: Cursor | None = None) -> Iterator[Item]:
        """All results after a cursor."""
        partition, source = self._plan.partition, self._source
        if self._plan.kind == NAMESPACE:
            made = _namespaces(partition, source)
        elif self._plan.kind == KIND:
            made = _kinds(partition, source)
        else:
            made = _properties(partition, source)
        for elements, entity in made:
            key = partition.prefix + encode_path(elements)
            entity.key.CopyFrom(
                key_message(elements, partition.project, partition.database, partition.namespace)
            )
            if any(each.holds(key, {}) for each in self._plan.alternatives):
                self._entities[key] = entity
        self.rows_scanned = len(self._entities)
        for key in sorted(self._entities):
            if start is None or start.key is None or key > start.key:
                yield Item((key,), (), key)

    def entities(self, keys: list[bytes]) -> dict[bytes, tuple[int, int, bytes]]:
        """By key: version, creation, and the Entity in bytes."""
        version = self._source.version
        return {key: (version, version, self._entities[key].SerializeToString()) for key in keys}


def _namespaces(partition: Partition, source: Source) -> Iterator[tuple[list[Element], Message]]:
    for each in source.catalog.partitions(partition.project, partition.database):
        low, high = each.prefix, each.prefix + b"\xff"
        if source.connection.execute(
            f"SELECT 1 FROM {source.entities} WHERE key > ? AND key < ? LIMIT 1", (low, high)
        ).fetchone():
            yield [(NAMESPACE, each.namespace or _EMPTY_NAMESPACE_ID)], Entity()


def _kinds(partition: Partition, source: Source) -> Iterator[tuple[list[Element], Message]]:
    for kind, name, scope in source.catalog.scopes(partition.id):
        if not name and _has_rows(source, scope):
            yield [(KIND, kind)], Entity()


def _properties(partition: Partition, source: Source) -> Iterator[tuple[list[Element], Message]]:
    for kind, name, scope in source.catalog.scopes(partition.id):
        if not name or is_reserved(kind):
            continue
        representations = sorted(set(_representations(source, scope)))
        if representations:
            entity = Entity()
            array = entity.properties["property_representation"].array_value
            for each in representations:
                array.values.add().string_value = each
            yield [(KIND, kind), (PROPERTY, name)], entity


def _has_rows(source: Source, scope: int) -> bool:
    found = source.connection.execute(f"SELECT 1 FROM {source.index_rows} WHERE scope = ? LIMIT 1", (scope,))
    return found.fetchone() is not None


def _representations(source: Source, scope: int) -> Iterator[str]:
    """The types among the values of a scope: from each found, to the first of the next."""
    low = b""
    while True:
        (value,) = source.connection.execute(
            f"SELECT min(value) FROM {source.index_rows} WHERE scope = ? AND value >= ?", (scope, low)
        ).fetchone()
        if value is None:
            return
        yield representation_of(value[0])
        low = bytes((value[0] + 1,))
