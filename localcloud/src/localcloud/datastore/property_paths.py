"""Property paths: names separated by dots; a dot or a backslash in a name is escaped by a backslash."""

from __future__ import annotations

from localcloud.datastore.errors import invalid
from localcloud.datastore.limits import check_property_name
from localcloud.datastore.messages import Entity, Message, Value


def parse_path(path: str) -> list[str]:
    """The names in a path. Raises Refused for one that is empty or wrongly escaped."""
    names = [""]
    characters = iter(path)
    for character in characters:
        if character == "\\":
            escaped = next(characters, "")
            if escaped not in (".", "\\"):
                raise invalid(f"The property path {path!r} has a backslash that escapes nothing.")
            names[-1] += escaped
        elif character == ".":
            names.append("")
        else:
            names[-1] += character
    if "" in names:
        raise invalid(f"The property path {path!r} has an empty name.")
    return names


def value_at(entity: Message, names: list[str]) -> Message | None:
    """The value at a path inside an entity; None if there is none."""
    for position, name in enumerate(names):
        if name not in entity.properties:
            return None
        value = entity.properties[name]
        if position == len(names) - 1:
            return value
        if not value.HasField("entity_value"):
            return None
        entity = value.entity_value
    return None


def set_at(entity: Message, names: list[str], value: Message) -> None:
    """Put a value at a path; what stands in the way and is not an entity becomes one."""
    for name in names[:-1]:
        inner = entity.properties[name]
        if not inner.HasField("entity_value"):
            inner.CopyFrom(Value(entity_value=Entity(), exclude_from_indexes=inner.exclude_from_indexes))
        entity = inner.entity_value
    entity.properties[names[-1]].CopyFrom(value)


def remove_at(entity: Message, names: list[str]) -> None:
    """Take away the value at a path, if it is there."""
    for name in names[:-1]:
        if name not in entity.properties or not entity.properties[name].HasField("entity_value"):
            return
        entity = entity.properties[name].entity_value
    if names[-1] in entity.properties:
        del entity.properties[names[-1]]


def masked(entity: Message, paths: list[list[str]]) -> Message:
    """A copy of the entity with nothing but its key and what lies at the paths."""
    copy = Entity()
    if entity.HasField("key"):
        copy.key.CopyFrom(entity.key)
    for names in paths:
        value = value_at(entity, names)
        if value is not None:
            set_at(copy, names, value)
    return copy


def parse_mask(mask: Message) -> list[list[str]]:
    """The paths of a property mask that selects what to return or to write; the key is always there."""
    paths = [parse_path(path) for path in mask.paths if path != "__key__"]
    for names in paths:
        for name in names:
            check_property_name(name)
    return paths
