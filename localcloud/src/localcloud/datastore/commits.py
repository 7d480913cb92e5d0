"""Commit: locks or conflict detection, then the mutations, as one."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable, Sequence
from enum import Enum

from localcloud.datastore import limits, wire
from localcloud.datastore.counts import Counts
from localcloud.datastore.errors import Refused, aborted, invalid
from localcloud.datastore.key_encoding import decode_path, encode_path, with_id
from localcloud.datastore.locks import LockTable, Owner
from localcloud.datastore.messages import CommitRequest, Message
from localcloud.datastore.mutations import Outcome, Result, deletion
from localcloud.datastore.prepared import Prepared, encode, prepare
from localcloud.datastore.query_locks import QueryLocks, is_seen
from localcloud.datastore.storage import Change, Storage
from localcloud.datastore.transactions import Transaction, Transactions

_TRANSACTIONAL = CommitRequest.Mode.Value("TRANSACTIONAL")
_NON_TRANSACTIONAL = CommitRequest.Mode.Value("NON_TRANSACTIONAL")
_MAX_ENTITY_GROUPS = 25
# Real service: automatic ids are spread over a wide range and have at most 16 digits.
_AUTOMATIC_IDS = range(1 << 50, 1 << 53)


class Concurrency(Enum):
    """How transactions that touch the same entities get along."""

    PESSIMISTIC = "pessimistic"
    OPTIMISTIC = "optimistic"
    OPTIMISTIC_WITH_ENTITY_GROUPS = "optimistic-with-entity-groups"


class Committer:
    """Executes Commit, AllocateIds and ReserveIds."""

    def __init__(
        self,
        storage: Storage,
        transactions: Transactions,
        locks: LockTable,
        query_locks: QueryLocks,
        counts: Counts,
        concurrency: Concurrency,
        chance: random.Random,
    ) -> None:
        self._storage = storage
        self._transactions = transactions
        self._locks = locks
        self._query_locks = query_locks
        self._counts = counts
        self._concurrency = concurrency
        self._chance = chance
        self._history: deque[tuple[int, list[Change]]] = deque()
        """Commits since the oldest open transaction began, where transactions are optimistic."""

    def commit(self, request: Message, is_wanted: Callable[[], bool]) -> bytes:
        """Execute a CommitRequest; the CommitResponse in bytes. Raises Refused; then nothing is stored."""
        # We differ: a non-transactional commit, which may be applied in part, is applied as one here, too.
        database = request.project_id, request.database_id
        if request.mode not in (_TRANSACTIONAL, _NON_TRANSACTIONAL):
            raise invalid("mode must be TRANSACTIONAL or NON_TRANSACTIONAL.")
        selector = request.WhichOneof("transaction_selector")
        if request.mode == _NON_TRANSACTIONAL and selector is not None:
            raise invalid("A non-transactional commit must not name a transaction.")
        if request.mode == _TRANSACTIONAL and selector is None:
            raise invalid("A transactional commit must name a transaction.")
        # Real service: what is refused for its form leaves the transaction as it was (both emulators).
        prepared = self._prepare(request)
        if selector != "transaction":
            if selector and request.single_use_transaction.WhichOneof("mode") == "read_only":
                raise invalid("single_use_transaction must be read-write.")
            owner = self._transactions.new_owner()
            try:
                return self._execute(request, prepared, owner, None, is_wanted)
            finally:
                self._query_locks.done(owner)
                self._locks.release(owner, [each.key for each in prepared if each.key])
        transaction = self._transactions.use(request.transaction, database)
        how = "aborted"
        try:
            with transaction.mutex:
                response = self._execute(request, prepared, transaction.owner, transaction, is_wanted)
                how = "committed"
                return response
        except Refused as refused:
            if not refused.is_contention:
                # Real service: a commit that can't succeed leaves the transaction to be rolled back.
                how = "rolled back"
            raise
        finally:
            self._query_locks.done(transaction.owner)
            self._transactions.used(transaction)
            if how == "committed":
                self._locks.release(transaction.owner, [each.key for each in prepared if each.key])
            self._transactions.end(transaction, how, by_commit=True)

    def allocate_ids(self, request: Message) -> list[Message]:
        """The keys of an AllocateIdsRequest, completed."""
        keys = []
        for key in request.keys:
            namespace = limits.check_partition(key.partition_id, request.project_id, request.database_id)
            elements = limits.check_path(key, is_incomplete_allowed=True)
            if elements[-1][1] is not None:
                raise invalid("AllocateIds takes incomplete keys only.")
            limits.check_not_reserved(elements, namespace)
            partition = self._storage.catalog.partition(request.project_id, request.database_id, namespace)
            key.path[-1].id = self._free_id(partition.prefix + encode_path(elements))
            keys.append(key)
        return keys

    def reserve_ids(self, request: Message) -> None:
        """Make sure that no automatic id will be one of these."""
        reserved = []
        for key in request.keys:
            namespace = limits.check_partition(key.partition_id, request.project_id, request.database_id)
            elements = limits.check_path(key)
            partition = self._storage.catalog.partition(request.project_id, request.database_id, namespace)
            limits.check_not_reserved(elements, namespace)
            kind, identifier = elements[-1]
            # A name can't be given out as an id, so there is nothing to keep back.
            if isinstance(identifier, int):
                reserved.append((partition.id, encode_path([*elements[:-1], (kind, None)]), identifier))
        self._storage.reserve(reserved)

    def delete_if(self, keys: Sequence[bytes], is_unwanted: Callable[[bytes], bool]) -> None:
        """Delete the entities that, seen again, are still unwanted; none if there is contention."""
        owner = self._transactions.new_owner()
        try:
            self._locks.acquire(owner, keys, True, deadline=0.0)
            with self._storage.writing_mutex:
                rows = self._storage.read_for_writing(keys)
                kinds = {key: decode_path(key, 4)[-1][0] for key in keys}
                changes = [
                    deletion(key, kinds[key], row) for key, row in rows.items() if is_unwanted(row.data)
                ]
                if not changes or self._query_locks.readers_of(changes, None):
                    return
                version = self._storage.next_version()
                self._storage.write(changes, version)
                self._remember(version, changes)
            self._counts.add(deletes=len(changes))
        except Refused as refused:
            if not refused.is_contention:
                raise
        finally:
            self._locks.release(owner, keys)

    def _prepare(self, request: Message) -> list[Prepared]:
        prepared = prepare(
            request.mutations, request.project_id, request.database_id, request.mode, self._storage.catalog
        )
        for each in prepared:
            if each.key is None:
                identifier = self._free_id(each.prefix)
                each.entity.key.path[-1].id = identifier
                each.key = with_id(each.prefix, identifier)
                if not each.message.HasField("property_mask") and not each.message.property_transforms:
                    each.encoded = encode(each.entity)
        return prepared

    def _free_id(self, incomplete: bytes) -> int:
        while True:
            identifier = self._chance.choice(_AUTOMATIC_IDS)
            taken = self._storage.is_reserved(
                int.from_bytes(incomplete[:4], "big"), incomplete[4:], identifier
            )
            if not taken and not self._storage.read([with_id(incomplete, identifier)]):
                return identifier

    def _execute(
        self,
        request: Message,
        prepared: Sequence[Prepared],
        owner: Owner,
        transaction: Transaction | None,
        is_wanted: Callable[[], bool],
    ) -> bytes:
        if transaction is not None and transaction.is_read_only and prepared:
            raise invalid("Cannot modify entities in a read-only transaction.")
        keys = list({each.key for each in prepared if each.key is not None})
        deadline = self._locks.deadline()
        is_pessimistic = self._concurrency is Concurrency.PESSIMISTIC
        if is_pessimistic and keys:
            self._locks.acquire(owner, keys, True, deadline, is_wanted)
        while True:
            with self._storage.writing_mutex:
                if not is_pessimistic and transaction is not None and not transaction.is_read_only:
                    self._check_history(transaction, keys)
                version = self._storage.next_version()
                rows = self._storage.read_for_writing(keys) if keys else {}
                outcome = Outcome(prepared, rows, version, self._storage.changed_since)
                changes = outcome.changes()
                blockers = self._query_locks.readers_of(changes, transaction)
                if not blockers:
                    if transaction is not None:
                        self._transactions.begin_commit(transaction)
                    index_updates = self._storage.write(changes, version) if changes else 0
                    if not is_pessimistic:
                        self._remember(version, changes)
                    if prepared and not changes:
                        self._storage.pin(version)
                    break
            self._query_locks.wait(owner, changes, blockers, deadline)
        self._storage.check_quickly()
        self._counts.add(
            writes=sum(each.operation != "delete" for each in prepared),
            deletes=sum(each.operation == "delete" for each in prepared),
        )
        return _response(request, prepared, outcome.results, version, index_updates)

    def _check_history(self, transaction: Transaction, keys: Sequence[bytes]) -> None:
        """Raises Refused (ABORTED) if what the transaction has read has changed since it began."""
        assert transaction.snapshot is not None
        groups: set[bytes] = set()
        if self._concurrency is Concurrency.OPTIMISTIC_WITH_ENTITY_GROUPS:
            groups = {entity_group(key) for key in (*keys, *transaction.keys_read)}
            if len(groups) > _MAX_ENTITY_GROUPS:
                raise invalid("operating on too many entity groups in a single transaction.")
        for version, changes in self._history:
            if version <= transaction.snapshot:
                continue
            for change in changes:
                if (
                    change.key in transaction.keys_read
                    or (groups and entity_group(change.key) in groups)
                    or is_seen(change, transaction)
                ):
                    raise aborted()

    def _remember(self, version: int, changes: list[Change]) -> None:
        oldest = self._transactions.oldest_snapshot()
        if oldest is None:
            self._history.clear()
            return
        self._history.append((version, changes))
        while self._history and self._history[0][0] <= oldest:
            self._history.popleft()


def entity_group(key: bytes) -> bytes:
    """The root of a key in the database."""
    return key[:4] + encode_path(decode_path(key, 4)[:1])


def _response(
    request: Message,
    prepared: Sequence[Prepared],
    results: Sequence[Result],
    version: int,
    index_updates: int,
) -> bytes:
    """A CommitResponse; see the numbers of the fields in datastore.proto."""
    now = wire.timestamp(version)
    parts = []
    for mutation, result in zip(prepared, results, strict=True):
        content = b""
        if mutation.prefix:
            content += wire.field(3, mutation.entity.key.SerializeToString())
        content += wire.number_field(4, result.version or version)
        if result.has_conflict:
            content += wire.number_field(5, 1)
        if result.is_there:
            content += wire.field(6, wire.timestamp(result.version) if result.version else now)
            content += wire.field(7, wire.timestamp(result.created))
        for value in result.transform_results:
            content += wire.field(8, value.SerializeToString())
        parts.append(wire.field(3, content))
    if index_updates:
        parts.append(wire.number_field(4, index_updates))
    # Real service: the commit time is set only for transactional commits.
    if request.mode == _TRANSACTIONAL:
        parts.append(wire.field(8, now))
    return b"".join(parts)
