"""The unit of work: what the tasks of one transaction read and write, one object for each key.

Everyone who asks for a key gets the same object, so tasks that share a transaction see one another's changes,
and each key is written once. It is thrown away with its try; the next try starts from what is stored.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from google.cloud import ndb

from pushtasks.errors import Rejected, TaskFailure
from pushtasks.payload import canonical_json

if TYPE_CHECKING:
    from pushtasks.task import AnyTask, Kinds

M = TypeVar("M", bound=ndb.Model)

Identity = tuple[str | int, ...]

Ref = tuple[type[ndb.Model], str | int]
"""An entity's model and id, such as (Guest, "ada"); unlike a key it can be made anywhere."""

MOST_PAYLOAD_BYTES = 98_000
"""Cloud Tasks documents 100 KB for a task in one place and 1 MB in another; the rest is for its headers."""

_MOST_FOLLOW_UPS = 100
_MOST_FOLLOW_UPS_BYTES = 1_000_000
"""Of one task's together: they are one entity, which holds 1,048,572 bytes ("Limits", Datastore docs)."""

_AROUND_A_FOLLOW_UP = 200
"""Bytes of its kind's name, its time and the JSON around them, at the most."""


class Lookup(Protocol):
    """Reads entities in the transaction that is under way: None for each that is not there."""

    def __call__(self, keys: Sequence[ndb.Key]) -> list[ndb.Model | None]: ...


@dataclass(frozen=True, slots=True)
class FollowUp:
    """A task to create once its parent is applied."""

    task: str
    payload: Any
    due_at: datetime | None


class UnitOfWork:
    """Everything that one try of a transaction reads and writes."""

    def __init__(
        self, lookup: Lookup, slot: int, now: datetime, key: Callable[..., ndb.Key] = ndb.Key
    ) -> None:
        """`key` makes a key of a model and an id."""
        self._lookup = lookup
        self.key = key
        self.slot = slot
        self.now = now
        self._stored: dict[Identity, ndb.Model | None] = {}
        self._written: dict[Identity, ndb.Model] = {}
        self._deleted: dict[Identity, ndb.Key] = {}
        self._touched: set[Identity] = set()
        self.failure: TaskFailure | None = None
        """What a read failed with: then the transaction failed, whichever task it was that read."""

    def fetch(self, keys: Iterable[ndb.Key]) -> None:
        """Read these in one call, except those that were read before."""
        wanted = {key.flat(): key for key in keys}
        missing = [key for flat, key in wanted.items() if flat not in self._stored]
        if missing:
            try:
                entities = self._lookup(missing)
            except TaskFailure as failure:
                self.failure = failure
                raise
            for key, found in zip(missing, entities, strict=True):
                self._stored[key.flat()] = found

    def read(self, key: ndb.Key) -> Any:
        """The entity as the tasks before this one left it, or None."""
        flat = key.flat()
        if flat in self._written:
            return self._written[flat]
        if flat in self._deleted:
            return None
        if flat not in self._stored:
            self.fetch([key])
        return self._stored[flat]

    def stored(self, key: ndb.Key) -> Any:
        """The entity as it was found, or None."""
        self.fetch([key])
        return self._stored[key.flat()]

    def get(self, key: ndb.Key, model: type[M]) -> M:
        """The entity, made if it doesn't exist, and written at the end."""
        flat = key.flat()
        entity = self.read(key)
        if entity is None:
            entity = model(key=key)
        self._touched.add(flat)
        self._deleted.pop(flat, None)
        self._written[flat] = entity
        return entity  # type: ignore[no-any-return]

    def put(self, entity: ndb.Model) -> None:
        """Write this entity at the end, instead of what is there."""
        flat = entity.key.flat()
        self._touched.add(flat)
        self._deleted.pop(flat, None)
        self._written[flat] = entity

    def delete(self, key: ndb.Key) -> None:
        flat = key.flat()
        self._touched.add(flat)
        self._written.pop(flat, None)
        self._deleted[flat] = key

    def fresh(self) -> UnitOfWork:
        """The same try with nothing written. What was read but not changed need not be read again."""
        again = UnitOfWork(self._lookup, self.slot, self.now, self.key)
        again._stored = {flat: entity for flat, entity in self._stored.items() if flat not in self._touched}
        return again

    def finish(self) -> None:
        """Call `before_write` of every entity that has one and is to be written, once for all tasks."""
        for entity in self._written.values():
            before_write = getattr(entity, "before_write", None)
            if before_write is not None:
                before_write(self.now)

    @property
    def puts(self) -> list[ndb.Model]:
        return list(self._written.values())

    @property
    def deletes(self) -> list[ndb.Key]:
        return list(self._deleted.values())


class Work:
    """A task's own view of the unit of work, given to its `apply`."""

    def __init__(self, unit: UnitOfWork, kinds: Kinds | None = None) -> None:
        self._unit = unit
        self._kinds = kinds
        self.follow_ups: list[FollowUp] = []
        self._follow_ups_bytes = 0

    @property
    def slot(self) -> int:
        """This process's slot. Processes that write entities of different slots do not meet."""
        return self._unit.slot

    @property
    def now(self) -> datetime:
        """The time of this try, the same for all that it writes."""
        return self._unit.now

    def get(self, model: type[M], id: str | int, parent: ndb.Key | None = None) -> M:
        """The entity to change: made if it isn't there, and written together with the task's record.

        A model may have a method `before_write(now)`: it is called once before the commit, however many tasks
        of the group changed the entity, to work out what follows from their changes.
        """
        return self._unit.get(self._key(model, id, parent), model)

    def read(self, model: type[M], id: str | int, parent: ndb.Key | None = None) -> M | None:
        """The entity, or None. It is not written, so don't change it: `get` is for that."""
        return self._unit.read(self._key(model, id, parent))  # type: ignore[no-any-return]

    def stored(self, model: type[M], id: str | int, parent: ndb.Key | None = None) -> M | None:
        """The entity as this transaction found it, or None, whatever tasks of the same group have made since.

        What a process wants to remember must come from here: what a task changes may never be committed.
        """
        return self._unit.stored(self._key(model, id, parent))  # type: ignore[no-any-return]

    def delete(self, model: type[M], id: str | int, parent: ndb.Key | None = None) -> None:
        """Delete the entity, if there is one. A `get` after this makes a new one."""
        self._unit.delete(self._key(model, id, parent))

    def fetch(self, refs: Iterable[Ref]) -> None:
        """Read many in one call, ahead of `get` and `read`; `Task.reads` does it earlier still."""
        self._unit.fetch(self._unit.key(*ref) for ref in refs)

    def enqueue(
        self,
        task: type[AnyTask],
        payload: Any,
        *,
        at: datetime | None = None,
        delay: timedelta | None = None,
    ) -> None:
        """Create a task of another kind if, and only if, this one is applied: a follow-up.

        It is stored in the same transaction, and created before this delivery is answered. It takes no key:
        its name follows from this task's. Raises Rejected for a payload that no queue takes.
        """
        if self._kinds is not None:
            self._kinds.of(task)
        if len(self.follow_ups) >= _MOST_FOLLOW_UPS:
            raise Rejected("follow-ups", len(self.follow_ups) + 1, f"at most {_MOST_FOLLOW_UPS} of one task")
        body = canonical_json(payload)
        if len(body) > MOST_PAYLOAD_BYTES:
            raise Rejected("payload", f"{len(body)} bytes", f"at most {MOST_PAYLOAD_BYTES} bytes of JSON")
        self._follow_ups_bytes += len(body) + _AROUND_A_FOLLOW_UP
        if self._follow_ups_bytes > _MOST_FOLLOW_UPS_BYTES:
            raise Rejected(
                "follow-ups",
                f"{self._follow_ups_bytes} bytes",
                f"at most {_MOST_FOLLOW_UPS_BYTES} bytes of JSON of one task",
            )
        self.follow_ups.append(FollowUp(task.name, json.loads(body), due_time(self.now, at, delay)))

    def _key(self, model: type[ndb.Model], id: str | int, parent: ndb.Key | None) -> ndb.Key:
        return self._unit.key(model, id) if parent is None else ndb.Key(model, id, parent=parent)


def due_time(now: datetime, at: datetime | None, delay: timedelta | None) -> datetime | None:
    """When a task is first due; None: at once. Raises ValueError for both, or for a time without a zone."""
    if at is not None and delay is not None:
        raise ValueError("Give `at` or `delay`, not both.")
    if at is not None and at.tzinfo is None:
        raise ValueError(f"at is {at!r}, which has no time zone. Expected one with tzinfo.")
    due = now + delay if delay is not None else at
    return due if due is not None and due > now else None
