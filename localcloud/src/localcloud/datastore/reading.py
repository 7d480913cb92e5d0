"""Which state of the database a read request sees: the latest, one of the past, or a transaction's."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from localcloud.datastore.clock import SECOND_US, Clock
from localcloud.datastore.errors import Refused, failed_precondition, invalid
from localcloud.datastore.messages import Message, timestamp_us
from localcloud.datastore.storage import Storage
from localcloud.datastore.transactions import Transaction, Transactions

RETENTION_SECONDS = 3600
"""Real service: a read time lies within the past hour."""


@dataclass(slots=True)
class View:
    """What a request sees. `version` None: the latest; `transaction` None: outside of one."""

    version: int | None
    transaction: Transaction | None
    new_transaction: bytes = b""


class Views:
    """Resolves ReadOptions and TransactionOptions."""

    def __init__(
        self, storage: Storage, transactions: Transactions, clock: Clock, is_optimistic: bool
    ) -> None:
        self._storage = storage
        self._transactions = transactions
        self._clock = clock
        self._is_optimistic = is_optimistic

    def begin(self, options: Message | None, database: tuple[str, str]) -> Transaction:
        """A new transaction. Without options it is a read-write one."""
        if options is not None and options.WhichOneof("mode") == "read_only":
            snapshot = self._storage.last_version
            if options.read_only.HasField("read_time"):
                snapshot = self.read_time(options.read_only.read_time)
            return self._transactions.begin(database, True, snapshot)
        snapshot_or_latest = self._storage.last_version if self._is_optimistic else None
        return self._transactions.begin(database, False, snapshot_or_latest)

    @contextmanager
    def view(self, options: Message, database: tuple[str, str]) -> Iterator[View]:
        """What a request with these ReadOptions sees. If it is ABORTED, its transaction has ended."""
        kind = options.WhichOneof("consistency_type")
        if kind == "transaction":
            transaction = self._transactions.use(options.transaction, database)
        elif kind == "new_transaction":
            begun = self.begin(options.new_transaction, database)
            transaction = self._transactions.use(begun.id, database)
        else:
            version = self.read_time(options.read_time) if kind == "read_time" else None
            yield View(version, None)
            return
        with self._using(transaction):
            yield View(
                transaction.snapshot, transaction, transaction.id if kind == "new_transaction" else b""
            )

    @contextmanager
    def _using(self, transaction: Transaction) -> Iterator[None]:
        try:
            with transaction.mutex:
                yield
        except Refused as refused:
            if refused.is_contention:
                self._transactions.end(transaction, "aborted")
            raise
        finally:
            self._transactions.used(transaction)

    def read_time(self, timestamp: Message) -> int:
        """The version of a read time, which from now on stays as it is. Raises Refused out of its hour."""
        version = timestamp_us(timestamp)
        if timestamp.nanos % 1000:
            raise invalid("read_time must have microsecond precision.")
        now = max(self._clock(), self._storage.last_version)
        if version > now:
            raise invalid("The requested 'read_time' cannot be in the future.")
        if version < now - RETENTION_SECONDS * SECOND_US:
            raise failed_precondition(
                "The requested 'read_time' is too old: it must lie within the past hour."
            )
        self._storage.pin(version)
        return version
