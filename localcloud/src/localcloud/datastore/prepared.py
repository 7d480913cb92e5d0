"""Mutations as they come in, checked and encoded before any lock is taken."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from localcloud.datastore import limits
from localcloud.datastore.catalog import Catalog
from localcloud.datastore.errors import invalid
from localcloud.datastore.indexing import IndexedValues, digest, indexed_values
from localcloud.datastore.key_encoding import encode_path
from localcloud.datastore.messages import CommitRequest, Message, timestamp_us

_NON_TRANSACTIONAL = CommitRequest.Mode.Value("NON_TRANSACTIONAL")
_FORBIDDEN_AFTER = {
    "insert": frozenset(("insert", "update", "upsert")),
    "update": frozenset(("delete",)),
}
"""By operation: those that must not precede it on the same entity in one commit."""


@dataclass(slots=True)
class Encoded:
    """An entity ready to be stored."""

    data: bytes
    values: IndexedValues
    digest: bytes


@dataclass(slots=True)
class Prepared:
    """A checked mutation. `key` is None as long as its id is to be allocated."""

    message: Message
    operation: str
    key: bytes | None
    kind: str
    prefix: bytes
    """Of an incomplete key: all but the id."""
    entity: Message
    encoded: Encoded | None
    """Of a plain write; None for a delete, and where mask or transforms need the present entity."""


def encode(entity: Message) -> Encoded:
    """Check and encode a whole entity. Raises Refused for what breaks a limit."""
    limits.check_entity(entity)
    return encode_checked(entity)


def encode_checked(entity: Message) -> Encoded:
    """Encode an entity whose properties are known to be right."""
    data = entity.SerializeToString(deterministic=True)
    limits.check_entity_size(len(data))
    values = indexed_values(entity)
    limits.check_index_rows(sum(map(len, values.values())))
    return Encoded(data, values, digest(values))


def prepare(
    mutations: Sequence[Message], project: str, database: str, mode: int, catalog: Catalog
) -> list[Prepared]:
    """All mutations of a commit. Raises Refused.

    Real service: one commit may not insert what it wrote before, nor update what it deleted before; and a
    non-transactional one must not touch an entity twice.
    """
    prepared = [_prepare(mutation, project, database, catalog) for mutation in mutations]
    seen: dict[bytes, str] = {}
    for each in prepared:
        if each.key is None:
            continue
        before = seen.get(each.key)
        if before is not None:
            if mode == _NON_TRANSACTIONAL:
                raise invalid(
                    "A non-transactional commit may not contain multiple mutations affecting the same entity."
                )
            if before in _FORBIDDEN_AFTER.get(each.operation, ()):
                raise invalid(f"A commit may not {each.operation} an entity after its {before}.")
        seen[each.key] = each.operation
    return prepared


def _prepare(mutation: Message, project: str, database: str, catalog: Catalog) -> Prepared:
    operation = mutation.WhichOneof("operation")
    if operation is None:
        raise invalid("A mutation must insert, update, upsert or delete.")
    _check_conflict_detection(mutation, operation)
    if operation == "delete":
        key = mutation.delete
        if mutation.property_transforms:
            raise invalid("A delete cannot have property transforms.")
        namespace = limits.check_partition(key.partition_id, project, database)
        elements = limits.check_path(key)
        limits.check_not_reserved(elements, namespace)
        prefix = catalog.partition(project, database, namespace).prefix
        return Prepared(mutation, operation, prefix + encode_path(elements), elements[-1][0], b"", None, None)
    entity = getattr(mutation, operation)
    if not entity.HasField("key"):
        raise invalid("An entity to be written needs a key.")
    key = entity.key
    namespace = limits.check_partition(key.partition_id, project, database)
    elements = limits.check_path(key, is_incomplete_allowed=operation != "update")
    limits.check_not_reserved(elements, namespace)
    if len(mutation.property_transforms) > limits.MAX_TRANSFORMS_PER_ENTITY:
        raise invalid(f"At most {limits.MAX_TRANSFORMS_PER_ENTITY} transforms of an entity are allowed.")
    prefix = catalog.partition(project, database, namespace).prefix
    path = prefix + encode_path(elements)
    is_incomplete = elements[-1][1] is None
    is_plain = not mutation.HasField("property_mask") and not mutation.property_transforms
    if not is_plain or is_incomplete:
        limits.check_entity(entity)
    return Prepared(
        mutation,
        operation,
        None if is_incomplete else path,
        elements[-1][0],
        path if is_incomplete else b"",
        entity,
        encode(entity) if is_plain and not is_incomplete else None,
    )


def _check_conflict_detection(mutation: Message, operation: str) -> None:
    detection = mutation.WhichOneof("conflict_detection_strategy")
    if mutation.conflict_resolution_strategy and detection is None:
        raise invalid("conflict_resolution_strategy needs base_version or update_time.")
    if mutation.conflict_resolution_strategy not in (0, 1, 3):
        raise invalid("conflict_resolution_strategy must be SERVER_VALUE or FAIL.")
    if detection == "base_version":
        if mutation.base_version < 0:
            raise invalid(f"Invalid base_version: {mutation.base_version}, it should be >= 0")
        if operation == "insert" and mutation.base_version:
            raise invalid("Cannot insert an entity with a base version greater than zero.")
        if operation == "update" and not mutation.base_version:
            raise invalid("Cannot update an entity with a base version set to zero.")
    elif detection == "update_time":
        timestamp_us(mutation.update_time)
