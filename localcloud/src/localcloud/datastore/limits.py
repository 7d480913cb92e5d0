"""The documented limits on keys, entities and requests, and the names that are reserved.

Real service: documentation, "Limits", and the comments of entity.proto; breaking one is INVALID_ARGUMENT.
"""

from __future__ import annotations

import re

from localcloud.datastore.errors import invalid
from localcloud.datastore.key_encoding import Element, elements_of
from localcloud.datastore.messages import Message, timestamp_us

MAX_LOOKUP_KEYS = 1000
MAX_TRANSFORMS_PER_ENTITY = 500

_MAX_PATH_ELEMENTS = 100
_MAX_NAME_BYTES = 1500
_MAX_KEY_BYTES = 6 * 1024
_MAX_ENTITY_BYTES = 1_048_572
_MAX_INDEXED_BYTES = 1500
_MAX_UNINDEXED_BYTES = 1_048_487
_MAX_DEPTH = 20
_MAX_INDEXED_VALUES = 20_000
_MAX_VECTOR_DIMENSIONS = 2048
_PROJECTED = 18
_VECTOR = 31
# Real service: what an older API called a link, a category, a rating, ... (both emulators refuse the others).
_MEANINGS = {
    "string_value": frozenset((1, 2, 3, 4, 5, 6, 8, 10, 11, 12, 15, 17, 32, 34)),
    "integer_value": frozenset((7, 13, 29, 30)),
    "blob_value": frozenset((16, 22)),
    "entity_value": frozenset((20,)),
}
_UNINDEXED_MEANINGS = frozenset((15, 22))
"""A long text, a compressed blob."""
_DIMENSION = re.compile(r"[0-9A-Za-z._-]{1,100}")
_PROJECT = re.compile(r"[0-9A-Za-z._:-]{1,100}")


def is_reserved(name: str) -> bool:
    """Is this a name that only the service itself may give?"""
    return len(name) >= 4 and name.startswith("__") and name.endswith("__")


def check_database(project: str, database: str) -> None:
    """The project and database of a request."""
    if not _PROJECT.fullmatch(project):
        raise invalid(f"project_id is {project!r}. Expected the id of a project, at most 100 characters.")
    if database and not _DIMENSION.fullmatch(database):
        raise invalid(
            f"database_id is {database!r}. Expected a database's id; the default database's is empty."
        )


def complete_partition(partition: Message, project: str, database: str) -> None:
    """Fill in what a client may leave out: a partition that names no project lies in the request's.

    Real service: Node's and Go's clients send nothing but the namespace (both emulators take it so).
    """
    if not partition.project_id:
        partition.project_id = project
        if not partition.database_id:
            partition.database_id = database


def check_partition(partition: Message, project: str, database: str) -> str:
    """The namespace of a partition, completed, which must be the request's project and database."""
    complete_partition(partition, project, database)
    if partition.project_id != project or partition.database_id != database:
        raise invalid(
            f"mismatched databases within request: {project}/{database} vs"
            f" {partition.project_id}/{partition.database_id}"
        )
    return _check_namespace(partition.namespace_id)


def check_key_value(key: Message, project: str, database: str) -> None:
    """A key that is a property's value, completed; it may lie in any project and database."""
    partition = key.partition_id
    complete_partition(partition, project, database)
    check_database(partition.project_id, partition.database_id)
    _check_namespace(partition.namespace_id)
    check_path(key)


def check_kind(kind: str) -> None:
    """The kind that a query asks for."""
    _check_key_name("kind", kind)


def check_path(key: Message, *, is_incomplete_allowed: bool = False) -> list[Element]:
    """The elements of a key that a client may name."""
    elements = elements_of(key)
    if not elements:
        raise invalid("A key's path must have at least one element.")
    if len(elements) > _MAX_PATH_ELEMENTS:
        raise invalid(f"A key's path has {len(elements)} elements. At most {_MAX_PATH_ELEMENTS} are allowed.")
    last = len(elements) - 1
    size = 0
    for position, (kind, identifier) in enumerate(elements):
        size += _check_key_name("kind", kind)
        if isinstance(identifier, str):
            size += _check_key_name("name", identifier)
        elif identifier is None:
            if position != last or not is_incomplete_allowed:
                raise invalid(f"Key path element must not be incomplete: [{kind}: ]")
        elif identifier == 0:
            raise invalid("A key's id must not be 0.")
        else:
            size += 8
    if size > _MAX_KEY_BYTES:
        raise invalid(f"The key has {size} bytes. At most {_MAX_KEY_BYTES} are allowed.")
    return elements


def check_not_reserved(elements: list[Element], namespace: str) -> None:
    """A key that is to be written has no part that is reserved for the service."""
    if is_reserved(namespace):
        raise invalid(f"The namespace {namespace!r} is reserved.")
    for kind, identifier in elements:
        if is_reserved(kind):
            raise invalid(f"The kind {kind!r} is reserved.")
        if isinstance(identifier, str) and is_reserved(identifier):
            raise invalid(f"The key name {identifier!r} is reserved.")


def check_entity(entity: Message) -> None:
    """The properties of an entity to be written; timestamps are rounded down to the microsecond.

    Its key is checked already: keys among the properties are completed with its project and database.
    """
    _check_properties(entity, entity.key.partition_id, 1)


def check_entity_size(size: int) -> None:
    """The size of an entity's message."""
    if size > _MAX_ENTITY_BYTES:
        raise invalid(f"The entity has {size} bytes. At most {_MAX_ENTITY_BYTES} are allowed.")


def check_index_rows(count: int) -> None:
    """The number of index entries of one entity."""
    if count > _MAX_INDEXED_VALUES:
        raise invalid(f"The entity has {count} indexed values. At most {_MAX_INDEXED_VALUES} are allowed.")


def check_property_name(name: str) -> None:
    """The name of a property to be written."""
    if not name:
        raise invalid("A property's name must not be empty.")
    if len(name) > 375 and len(name.encode()) > _MAX_NAME_BYTES:
        raise invalid(f"The property name {name[:40]!r}... is longer than {_MAX_NAME_BYTES} bytes.")
    if name[0] == "_" and is_reserved(name):
        raise invalid(f"The property name {name!r} is reserved.")


def check_value(
    name: str, value: Message, partition: Message, depth: int = 1, *, is_in_array: bool = False
) -> None:
    """A property's value in an entity of the partition; timestamps are rounded down to the microsecond."""
    kind = value.WhichOneof("value_type")
    if value.meaning and kind != "array_value":
        _check_meaning(name, value, kind)
    if kind in ("integer_value", "boolean_value", "double_value", "null_value"):
        return
    if kind == "string_value":
        text: str = value.string_value
        if len(text) > 375:
            _check_length(name, len(text.encode()), value.exclude_from_indexes)
    elif kind == "blob_value":
        _check_length(name, len(value.blob_value), value.exclude_from_indexes)
    elif kind == "timestamp_value":
        timestamp_us(value.timestamp_value)
        excess = value.timestamp_value.nanos % 1000
        if excess:
            value.timestamp_value.nanos -= excess
    elif kind == "entity_value":
        if depth > _MAX_DEPTH:
            raise invalid(f"The property {name!r} has more than {_MAX_DEPTH} nested entity values.")
        if value.entity_value.HasField("key"):
            inner = value.entity_value.key
            complete_partition(inner.partition_id, partition.project_id, partition.database_id)
            check_path(inner, is_incomplete_allowed=True)
        _check_properties(value.entity_value, partition, depth + 1)
    elif kind == "array_value":
        if is_in_array:
            raise invalid(f"The property {name!r} has an array in an array.")
        if value.meaning == _VECTOR:
            _check_vector(name, value)
        elif value.exclude_from_indexes or value.meaning:
            raise invalid(f"The array {name!r} sets exclude_from_indexes or meaning. Only its elements may.")
        for element in value.array_value.values:
            check_value(name, element, partition, depth, is_in_array=True)
    elif kind == "key_value":
        check_key_value(value.key_value, partition.project_id, partition.database_id)
    elif kind == "geo_point_value":
        point = value.geo_point_value
        if not (-90 <= point.latitude <= 90 and -180 <= point.longitude <= 180):
            raise invalid(f"The property {name!r} is not on Earth: {point.latitude}, {point.longitude}.")
    else:
        raise invalid(f"The property {name!r} has a value without a type.")


def _check_namespace(namespace: str) -> str:
    if namespace and not _DIMENSION.fullmatch(namespace):
        raise invalid(f"The namespace {namespace!r} is not 0 to 100 of letters, digits, '.', '_' and '-'.")
    return namespace


def _check_properties(entity: Message, partition: Message, depth: int) -> None:
    for name, value in entity.properties.items():
        check_property_name(name)
        check_value(name, value, partition, depth)


def _check_meaning(name: str, value: Message, kind: str | None) -> None:
    meaning = value.meaning
    if meaning == _PROJECTED:
        raise invalid(f"The property {name!r} comes from a projection query: it can't be written.")
    if meaning not in _MEANINGS.get(kind or "", ()):
        raise invalid(f"The property {name!r} has meaning {meaning}, which a {kind} can't have.")
    if meaning in _UNINDEXED_MEANINGS and not value.exclude_from_indexes:
        raise invalid(f"The property {name!r} has meaning {meaning}: it must be excluded from indexes.")


def _check_vector(name: str, value: Message) -> None:
    elements = value.array_value.values
    if not 1 <= len(elements) <= _MAX_VECTOR_DIMENSIONS:
        raise invalid(
            f"The vector {name!r} has {len(elements)} dimensions, not 1 to {_MAX_VECTOR_DIMENSIONS}."
        )
    if any(each.WhichOneof("value_type") != "double_value" for each in elements):
        raise invalid(f"The vector {name!r} must consist of doubles.")
    if not value.exclude_from_indexes:
        raise invalid(f"The vector {name!r} must be excluded from indexes.")


def _check_length(name: str, size: int, is_excluded: bool) -> None:
    if not is_excluded and size > _MAX_INDEXED_BYTES:
        raise invalid(f'The value of property "{name}" is longer than {_MAX_INDEXED_BYTES} bytes.')
    if size > _MAX_UNINDEXED_BYTES:
        raise invalid(f'The value of property "{name}" is longer than {_MAX_UNINDEXED_BYTES} bytes.')


def _check_key_name(what: str, text: str) -> int:
    size = len(text) if text.isascii() else len(text.encode())
    if not 1 <= size <= _MAX_NAME_BYTES:
        raise invalid(f"A key's {what} has {size} bytes. Expected 1 to {_MAX_NAME_BYTES}.")
    return size
