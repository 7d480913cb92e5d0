"""What a commit's mutations make of the entities that are there: changes to store, and results to answer."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from localcloud.datastore.errors import already_exists, failed_precondition, not_found
from localcloud.datastore.indexing import IndexedValues, indexed_values
from localcloud.datastore.messages import Entity, Message, Mutation, timestamp_us
from localcloud.datastore.prepared import Encoded, Prepared, encode_checked
from localcloud.datastore.property_paths import parse_mask, remove_at, set_at, value_at
from localcloud.datastore.storage import Change, Row
from localcloud.datastore.transforms import apply_transforms

_FAIL = Mutation.ConflictResolutionStrategy.Value("FAIL")


@dataclass(slots=True)
class Result:
    """The outcome of a mutation. `version` is 0 where the commit's own is meant."""

    allocated: bool = False
    version: int = 0
    created: int = 0
    is_there: bool = False
    has_conflict: bool = False
    transform_results: Sequence[Message] = ()


@dataclass(slots=True)
class _State:
    """An entity in the middle of a commit; `row` as stored, or `encoded` as the commit has written it."""

    kind: str
    before: Row | None
    row: Row | None
    encoded: Encoded | None = None

    @property
    def is_there(self) -> bool:
        return self.row is not None or self.encoded is not None

    @property
    def data(self) -> bytes | None:
        if self.encoded is not None:
            return self.encoded.data
        return self.row.data if self.row is not None else None


class Outcome:
    """Applies prepared mutations, in order, to the rows that are there. Raises Refused; stores nothing."""

    def __init__(
        self,
        prepared: Sequence[Prepared],
        rows: Mapping[bytes, Row],
        version: int,
        changed_since: Callable[[Sequence[bytes], int], bool],
    ) -> None:
        self.version = version
        self._changed_since = changed_since
        self._states: dict[bytes, _State] = {}
        self.results: list[Result] = []
        for each in prepared:
            key = each.key
            assert key is not None
            state = self._states.get(key)
            if state is None:
                row = rows.get(key)
                state = self._states[key] = _State(each.kind, row, row)
            self.results.append(self._apply(each, state))

    def changes(self) -> list[Change]:
        """One for each entity that changed."""
        changes = []
        for key, state in self._states.items():
            before, encoded = state.before, state.encoded
            if encoded is not None:
                is_indexed_alike = before is not None and before.digest == encoded.digest
                values_before = None if is_indexed_alike else _values(before)
                changes.append(
                    Change(
                        key, state.kind, before, encoded.data, encoded.values, values_before, encoded.digest
                    )
                )
            elif before is not None and state.row is None:
                changes.append(deletion(key, state.kind, before))
        return changes

    def _apply(self, mutation: Prepared, state: _State) -> Result:
        operation, is_there = mutation.operation, state.is_there
        if operation == "insert" and is_there:
            raise already_exists("entity already exists: " + _describe(mutation.message.insert.key))
        if operation == "update" and not is_there:
            raise not_found("no entity to update: " + _describe(mutation.message.update.key))
        if self._has_conflict(mutation, state):
            return self._result(state, has_conflict=True)
        if operation == "delete":
            state.row = state.encoded = None
            return Result()
        transform_results: Sequence[Message] = ()
        encoded = mutation.encoded
        if encoded is None:
            encoded, transform_results = self._merge(mutation, state)
        # Real service: a write that changes nothing keeps the version.
        if state.data != encoded.data:
            state.encoded, state.row = encoded, None
            before = state.before
            if before is not None and before.data == encoded.data:
                state.encoded, state.row = None, before
        return self._result(state, transform_results=transform_results)

    def _has_conflict(self, mutation: Prepared, state: _State) -> bool:
        """Is the entity not the one that the mutation was made for?

        Real service: by default the server's value stays, and the result says so; with FAIL the commit fails.
        """
        message = mutation.message
        detection = message.WhichOneof("conflict_detection_strategy")
        if detection is None:
            return False
        stored = self.version if state.encoded is not None else state.row.version if state.row else 0
        by_version = detection == "base_version"
        expected = message.base_version if by_version else timestamp_us(message.update_time)
        if stored == expected:
            return False
        # What is missing has no version; a client names the snapshot in which it missed it.
        assert mutation.key is not None
        if not stored and state.before is None and not self._changed_since([mutation.key], expected):
            return False
        if message.conflict_resolution_strategy == _FAIL:
            raise failed_precondition(
                f"the stored version ({stored}) does not match the required base version ({expected})"
            )
        return True

    def _merge(self, mutation: Prepared, state: _State) -> tuple[Encoded, list[Message]]:
        """The entity after mask and transforms."""
        message = mutation.message
        entity = Entity()
        if message.HasField("property_mask") and state.data is not None:
            entity.ParseFromString(state.data)
            for names in parse_mask(message.property_mask):
                value = value_at(mutation.entity, names)
                if value is None:
                    remove_at(entity, names)
                else:
                    set_at(entity, names, value)
        elif message.HasField("property_mask"):
            entity.key.CopyFrom(mutation.entity.key)
            for names in parse_mask(message.property_mask):
                value = value_at(mutation.entity, names)
                if value is not None:
                    set_at(entity, names, value)
        else:
            entity.CopyFrom(mutation.entity)
        results = apply_transforms(entity, message.property_transforms, self.version)
        return encode_checked(entity), results

    def _result(
        self, state: _State, has_conflict: bool = False, transform_results: Sequence[Message] = ()
    ) -> Result:
        if state.row is not None:
            return Result(
                version=state.row.version,
                created=state.row.created,
                is_there=True,
                has_conflict=has_conflict,
                transform_results=transform_results,
            )
        created = state.before.created if state.before is not None else self.version
        return Result(
            created=created,
            is_there=state.is_there,
            has_conflict=has_conflict,
            transform_results=transform_results,
        )


def deletion(key: bytes, kind: str, before: Row) -> Change:
    """The change that takes an entity away."""
    return Change(key, kind, before, None, {}, _values(before) if before.digest else None, b"")


def _values(row: Row | None) -> IndexedValues:
    return {} if row is None or not row.digest else indexed_values(Entity.FromString(row.data))


def _describe(key: Message) -> str:
    path = ", ".join(
        f"{each.kind}: {each.id if each.HasField('id') else repr(each.name)}" for each in key.path
    )
    return f"[{path}]"
