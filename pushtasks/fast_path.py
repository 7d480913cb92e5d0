"""The fast path past google-cloud-ndb, for the transaction that applies tasks. It can be switched off.

ndb takes 0.4 ms to write a task's record and half of that to look for one; begin, its event loop and its
caches cost as much again. Here keys and flat entities take a tenth, and the transaction begins with its first
Lookup. What it relies on in ndb's internals, and how one would see that a release broke it, is in
docs/decisions. With FAST_PATH=off, `pushtasks.database` does the same through ndb alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import cache
from typing import Any, TypeVar

from google.cloud import ndb
from google.cloud.datastore_v1.types import (
    CommitRequest,
    Entity,
    LookupRequest,
    LookupResponse,
    RollbackRequest,
)
from google.cloud.ndb import model

from pushtasks.datastore_calls import BoundedStub, Watch, check_size
from pushtasks.work import Lookup, UnitOfWork

T = TypeVar("T")

MOST_KEYS = 1000
"""Lookup takes no more ("Limits", Datastore docs)."""

_Entity, _LookupRequest, _CommitRequest = Entity.pb(), LookupRequest.pb(), CommitRequest.pb()

_FIELDS = {
    ndb.TextProperty: "string_value",
    ndb.IntegerProperty: "integer_value",
    ndb.DateTimeProperty: "timestamp_value",
    ndb.BlobProperty: "blob_value",
}
"""The flat properties, and the field of a Value message that holds each."""


def run(stub: BoundedStub, watch: Watch, project: str, body: Callable[[Lookup], tuple[UnitOfWork, T]]) -> T:
    """Run `body` once in a read-write transaction, and commit what its unit of work wrote.

    Raises TaskFailure; after a lost answer to the commit it may have happened, or may still happen.
    """
    transaction = _Transaction(stub, watch, project)
    try:
        unit, result = body(transaction.lookup)
        transaction.commit(unit)
    except BaseException:
        transaction.roll_back()
        raise
    return result


class _Transaction:
    def __init__(self, stub: BoundedStub, watch: Watch, project: str) -> None:
        self._stub = stub
        self._watch = watch
        self._project = project
        self._metadata = [("x-goog-request-params", f"project_id={project}")]
        self._id = b""

    def lookup(self, keys: Sequence[ndb.Key]) -> list[ndb.Model | None]:
        wanted = {key.flat(): key for key in keys}
        found: dict[tuple[str | int, ...], ndb.Model] = {}
        messages = [encode_key(key, _Entity().key) for key in keys]
        while messages:
            request = _LookupRequest(project_id=self._project, keys=messages[:MOST_KEYS])
            if self._id:
                request.read_options.transaction = self._id
            else:
                request.read_options.new_transaction.read_write.SetInParent()
            with self._watch.of_engine():
                call = self._stub.lookup.future(request, timeout=None, metadata=self._metadata)
                answer = LookupResponse.pb(call.result())
            self._id = self._id or answer.transaction
            for result in answer.found:
                path = path_of(result.entity.key)
                found[path] = decode(result.entity, wanted[path])
            messages = [*answer.deferred, *messages[MOST_KEYS:]]
        return [found.get(key.flat()) for key in keys]

    def commit(self, unit: UnitOfWork) -> None:
        request = _CommitRequest(project_id=self._project, mode=CommitRequest.Mode.TRANSACTIONAL)
        request.transaction = self._id
        for entity in unit.puts:
            encode(entity, request.mutations.add().upsert)
        for key in unit.deletes:
            encode_key(key, request.mutations.add().delete)
        check_size(request)
        self._watch.expect(len(request.mutations))
        try:
            wrapped = CommitRequest.wrap(request)
            self._stub.commit.future(wrapped, timeout=None, metadata=self._metadata).result()
            self._watch.check_sent()
        finally:
            self._watch.expect(None)

    def roll_back(self) -> None:
        if self._id:
            request = RollbackRequest.pb()(project_id=self._project, transaction=self._id)
            self._stub.rollback.future(request, timeout=None, metadata=self._metadata)


def encode(entity: ndb.Model, message: Any) -> None:
    """Make `message`, an empty Entity message, describe `entity` as ndb would."""
    if is_flat(entity):
        encode_flat(entity, message)
    else:
        entity._pre_put_hook()
        entity._prepare_for_put()
        as_ndb_writes_it: Any = model._entity_to_protobuf  # it carries no types
        message.CopyFrom(as_ndb_writes_it(entity)._pb)


def is_flat(entity: ndb.Model) -> bool:
    """Whether `encode_flat` writes what ndb would, and nothing else happens when ndb puts it."""
    key = entity.key
    kind: Any = type(entity)
    if key is None or not _is_flat_kind(kind):
        return False
    path = key.flat()  # unlike id() and parent() it copies nothing
    return len(path) == 2 and isinstance(path[1], str)


@cache
def _is_flat_kind(kind: Any) -> bool:
    """No property that ndb would compute, convert or check, and no hook of the model's own."""
    hooks = (kind._pre_put_hook, kind._post_put_hook)
    return (
        kind.__bases__ == (ndb.Model,)
        and all(hook.__module__ == ndb.Model.__module__ for hook in hooks)
        and all(
            type(declared) in _FIELDS
            and declared._code_name == name
            and not (declared._repeated or declared._required)
            and not getattr(declared, "_compressed", False)
            and not (getattr(declared, "_auto_now", False) or getattr(declared, "_auto_now_add", False))
            for name, declared in kind._properties.items()
        )
    )


def encode_flat(entity: ndb.Model, message: Any) -> None:
    """The same for an entity that `is_flat`."""
    key = entity.key
    kind: Any = type(entity)
    message.CopyFrom(_template(kind, key.project(), key.namespace() or "", key.database() or ""))
    message.key.path[0].name = key.flat()[1]
    properties = message.properties
    for name in kind._properties:
        value, target = getattr(entity, name), properties[name]
        if isinstance(value, str):
            target.string_value = value
        elif isinstance(value, int):
            target.integer_value = value
        elif isinstance(value, datetime):
            target.timestamp_value.FromDatetime(value)
        elif isinstance(value, bytes):
            target.blob_value = value
        else:
            assert value is None, f"{kind.__name__}.{name} is {value!r}, which is not flat."
            target.null_value = 0


def encode_key(key: ndb.Key, message: Any) -> Any:
    """Make `message`, an empty Key message, describe a complete `key` as ndb would; gives it back."""
    partition = message.partition_id
    partition.project_id = key.project()
    partition.namespace_id = key.namespace() or ""
    partition.database_id = key.database() or ""
    path = key.flat()
    for kind, id_or_name in zip(path[::2], path[1::2], strict=True):
        if isinstance(id_or_name, str):
            message.path.add(kind=kind, name=id_or_name)
        else:
            message.path.add(kind=kind, id=id_or_name)
    return message


def path_of(message: Any) -> tuple[str | int, ...]:
    """What `ndb.Key.flat` gives, of a complete Key message."""
    return tuple(part for each in message.path for part in (each.kind, each.name or each.id))


def decode(message: Any, key: ndb.Key) -> ndb.Model:
    """The entity that an Entity message describes; `key` is its own."""
    as_ndb_reads_it: Any = model._entity_from_protobuf  # it carries no types
    return decode_flat(message, key) or as_ndb_reads_it(message)


def decode_flat(message: Any, key: ndb.Key) -> ndb.Model | None:
    """The same for an entity whose properties are all as their flat kind declares them; None for others."""
    kind: Any = model.Model._lookup_model(key.flat()[-2])
    if not _is_flat_kind(kind):
        return None
    fields = _fields(kind)
    values: dict[str, Any] = {}
    for name, value in message.properties.items():
        field = value.WhichOneof("value_type")
        if field == "null_value":
            values[name] = None
        elif field != fields.get(name) or value.meaning:
            return None
        elif field == "timestamp_value":
            values[name] = value.timestamp_value.ToDatetime(UTC)
        else:
            values[name] = getattr(value, field)
    if not values.keys() <= fields.keys():
        return None
    entity = kind()
    entity._entity_key = key  # the key that was asked for, so it needs no check, which would copy it
    entity._values.update(values)
    return entity


@cache
def _fields(kind: Any) -> dict[str, str]:
    """The field of a Value that holds each property of a flat kind, for those that need no conversion."""
    return {
        name: _FIELDS[type(declared)]
        for name, declared in kind._properties.items()
        if getattr(declared, "_tzinfo", UTC) is UTC
    }


@cache
def _template(kind: Any, project: str, namespace: str, database: str) -> Any:
    """What the messages of all entities of a kind have in common."""
    message = _Entity()
    message.key.partition_id.project_id = project
    message.key.partition_id.namespace_id = namespace
    message.key.partition_id.database_id = database
    message.key.path.add(kind=kind._get_kind())
    for name, declared in kind._properties.items():
        message.properties[name].exclude_from_indexes = not declared._indexed
    return message
