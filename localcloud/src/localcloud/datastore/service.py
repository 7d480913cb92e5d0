"""The methods of google.datastore.v1.Datastore, from request bytes to response bytes."""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from localcloud.data_file import is_refusal
from localcloud.datastore import limits, wire
from localcloud.datastore import messages as m
from localcloud.datastore.clock import Clock, system_clock
from localcloud.datastore.commits import Committer, Concurrency
from localcloud.datastore.counts import Counts
from localcloud.datastore.errors import invalid
from localcloud.datastore.index_requirements import read_index_file
from localcloud.datastore.key_encoding import encode_path
from localcloud.datastore.locks import LockTable
from localcloud.datastore.messages import Message, parse
from localcloud.datastore.property_paths import masked, parse_mask
from localcloud.datastore.queries import Queries
from localcloud.datastore.query_locks import QueryLocks
from localcloud.datastore.reading import View, Views
from localcloud.datastore.statistics import Statistics
from localcloud.datastore.storage import Row, Storage
from localcloud.datastore.transactions import Transaction, Transactions
from localcloud.datastore.ttl import Sweeper

# With one more entity, of at most 1 MiB, a response stays below the 4 MiB that clients take by default.
_FULL_RESPONSE_BYTES = 2_500_000
_TELL_SECONDS = 60.0
_log = logging.getLogger(__name__)

IsWanted = Callable[[], bool]
"""Is the client that sent the request still connected?"""
Method = Callable[[bytes, IsWanted], bytes]
"""From a request's bytes to its response's. Raises Refused."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What a server is started with."""

    data: Path | None = None
    concurrency: Concurrency = Concurrency.PESSIMISTIC
    transaction_idle_seconds: float = 60.0
    transaction_seconds: float = 270.0
    lock_wait_seconds: float = 4.0
    """What one request waits for locks at most, before it gets ABORTED."""
    politeness_seconds: float = 1.0
    """How long a reader lets another reader finish before it shares the lock."""
    ttl: Sequence[tuple[str, str]] = ()
    required_indexes: Path | None = None
    clock: Clock = system_clock
    chance: random.Random = field(default_factory=random.SystemRandom)
    on_lost: Callable[[str], None] = lambda _: None
    """Called, with one line, if the data file goes or breaks while it is in use."""


class Service:
    """All methods, on one storage. Safe to be called from many threads."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.counts = Counts()
        self._told_at = -_TELL_SECONDS
        requirements = read_index_file(settings.required_indexes) if settings.required_indexes else None
        self.storage = Storage(settings.data, settings.clock, settings.on_lost)
        self.statistics = Statistics(self.storage)
        self.locks = LockTable(settings.lock_wait_seconds, settings.politeness_seconds)
        self.transactions = Transactions(
            settings.clock,
            settings.transaction_idle_seconds,
            settings.transaction_seconds,
            lambda transaction: self.locks.release(transaction.owner),
        )
        is_optimistic = settings.concurrency is not Concurrency.PESSIMISTIC
        self.views = Views(self.storage, self.transactions, settings.clock, is_optimistic)
        query_locks = QueryLocks(
            self.storage, self.transactions, self.locks, is_pessimistic=not is_optimistic
        )
        self.committer = Committer(
            self.storage,
            self.transactions,
            self.locks,
            query_locks,
            self.counts,
            settings.concurrency,
            settings.chance,
        )
        self.queries = Queries(
            self.storage,
            self.counts,
            query_locks,
            requirements,
            settings.clock,
            needs_ancestor_in_transactions=settings.concurrency is Concurrency.OPTIMISTIC_WITH_ENTITY_GROUPS,
        )
        self.sweeper = Sweeper(self.storage, self.committer, settings.ttl, settings.clock)

    @property
    def methods(self) -> dict[str, Method]:
        """By their names in the API."""
        return {
            "Lookup": self.lookup,
            "RunQuery": self.run_query,
            "RunAggregationQuery": self.run_aggregation_query,
            "BeginTransaction": self.begin_transaction,
            "Commit": self.commit,
            "Rollback": self.rollback,
            "AllocateIds": self.allocate_ids,
            "ReserveIds": self.reserve_ids,
        }

    def lookup(self, data: bytes, is_wanted: IsWanted) -> bytes:
        """LookupRequest to LookupResponse: found 1, missing 2, deferred 3, transaction 5, read_time 7."""
        request = parse(m.LookupRequest, data)
        database = _database(request)
        if len(request.keys) > limits.MAX_LOOKUP_KEYS:
            raise invalid(f"cannot get more than {limits.MAX_LOOKUP_KEYS} keys in a single call.")
        mask = parse_mask(request.property_mask) if request.HasField("property_mask") else None
        keys: dict[bytes, Message] = {}
        for key in request.keys:
            namespace = limits.check_partition(key.partition_id, *database)
            path = encode_path(limits.check_path(key))
            keys[self.storage.catalog.partition(*database, namespace).prefix + path] = key
        with self.views.view(request.read_options, database) as view:
            rows = self._read(list(keys), view, is_wanted)
            version = view.version or self.storage.last_version
        parts: list[bytes] = []
        size = deferred = 0
        for encoded, key in keys.items():
            row = rows.get(encoded)
            if size > _FULL_RESPONSE_BYTES:
                # Real service: what is too much for one response is deferred, and asked for again by clients.
                parts.append(wire.field(3, key.SerializeToString()))
                deferred += 1
                continue
            if row is None:
                parts.append(wire.field(2, wire.key_result(key.SerializeToString(), version)))
                continue
            content = row.data
            if mask is not None:
                content = masked(m.Entity.FromString(content), mask).SerializeToString()
            parts.append(wire.field(1, wire.entity_result(content, row.version, row.created)))
            version = max(version, row.version)
            size += len(content)
        if view.new_transaction:
            parts.append(wire.field(5, view.new_transaction))
        parts.append(wire.field(7, wire.timestamp(version)))
        self.counts.add(reads=len(keys) - deferred)
        return b"".join(parts)

    def run_query(self, data: bytes, _: IsWanted) -> bytes:
        """RunQueryRequest to RunQueryResponse."""
        request = parse(m.RunQueryRequest, data)
        with self.views.view(request.read_options, _database(request)) as view:
            return self.queries.run(request, view)

    def run_aggregation_query(self, data: bytes, _: IsWanted) -> bytes:
        """RunAggregationQueryRequest to RunAggregationQueryResponse."""
        request = parse(m.RunAggregationQueryRequest, data)
        with self.views.view(request.read_options, _database(request)) as view:
            return self.queries.aggregate(request, view)

    def begin_transaction(self, data: bytes, _: IsWanted) -> bytes:
        """BeginTransactionRequest to BeginTransactionResponse: transaction 1."""
        request = parse(m.BeginTransactionRequest, data)
        options = request.transaction_options if request.HasField("transaction_options") else None
        return wire.field(1, self.views.begin(options, _database(request)).id)

    def commit(self, data: bytes, is_wanted: IsWanted) -> bytes:
        """CommitRequest to CommitResponse."""
        request = parse(m.CommitRequest, data)
        _database(request)
        return self.committer.commit(request, is_wanted)

    def rollback(self, data: bytes, _: IsWanted) -> bytes:
        """RollbackRequest to RollbackResponse, which is empty."""
        request = parse(m.RollbackRequest, data)
        self.transactions.rollback(request.transaction, _database(request))
        return b""

    def allocate_ids(self, data: bytes, _: IsWanted) -> bytes:
        """AllocateIdsRequest to AllocateIdsResponse."""
        request = parse(m.AllocateIdsRequest, data)
        _database(request)
        keys = self.committer.allocate_ids(request)
        response: bytes = m.AllocateIdsResponse(keys=keys).SerializeToString()
        return response

    def reserve_ids(self, data: bytes, _: IsWanted) -> bytes:
        """ReserveIdsRequest to ReserveIdsResponse, which is empty."""
        request = parse(m.ReserveIdsRequest, data)
        _database(request)
        self.committer.reserve_ids(request)
        return b""

    def reset(self) -> None:
        """Forget everything: entities, transactions, counts."""
        self.transactions.clear()
        self.storage.clear()
        self.statistics.clear()
        self.counts.clear()

    def file_trouble(self, error: Exception) -> str | None:
        """What to tell a client about an error that the file or the disk caused; None for a bug."""
        if is_refusal(error):
            self._tell_trouble(f"the data file could not be used: {error}")
            return f"The data file could not be used: {error}."
        lost = self.storage.blame(error)
        return None if lost is None else str(lost)

    def close(self) -> None:
        """Give up the file. No method may be running."""
        self.transactions.clear()
        self.storage.close()

    def _tell_trouble(self, line: str) -> None:
        """In the log, once a minute: a full disk fails every commit."""
        now = time.monotonic()
        if now - self._told_at >= _TELL_SECONDS:
            self._told_at = now
            _log.error("localcloud.datastore: %s", line)

    def _read(self, keys: list[bytes], view: View, is_wanted: IsWanted) -> dict[bytes, Row]:
        transaction = view.transaction
        if transaction is not None and not transaction.is_read_only:
            self._enter_reads(keys, transaction, is_wanted)
        if view.version is not None:
            return self.storage.read_at(keys, view.version)
        return self.storage.read(keys)

    def _enter_reads(self, keys: list[bytes], transaction: Transaction, is_wanted: IsWanted) -> None:
        if self.settings.concurrency is Concurrency.PESSIMISTIC:
            self.locks.acquire(transaction.owner, keys, False, self.locks.deadline(), is_wanted)
        else:
            transaction.keys_read.update(keys)


def _database(request: Message) -> tuple[str, str]:
    limits.check_database(request.project_id, request.database_id)
    return request.project_id, request.database_id
