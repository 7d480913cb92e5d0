"""Transactions from begin to end: their ids, their lifetimes, and how they ended."""

from __future__ import annotations

import secrets
import struct
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count
from typing import Any, TypeAlias

from localcloud.datastore.clock import SECOND_US, Clock
from localcloud.datastore.errors import Refused, invalid
from localcloud.datastore.locks import Owner

_REMEMBERED_ENDS = 10_000
_id_of = struct.Struct(">QQ").pack

QueryPredicate: TypeAlias = Callable[[bytes, str, Any], bool]
"""Would the query see this entity? Given its key, its kind and its values."""


@dataclass(eq=False)
class Transaction:
    """An open transaction. `snapshot` is the version that it reads; None: the latest, under locks."""

    id: bytes
    owner: Owner
    is_read_only: bool
    snapshot: int | None
    database: tuple[str, str]
    begun_us: int
    used_us: int
    mutex: threading.RLock = field(default_factory=threading.RLock)
    """Held while a request of this transaction reads or commits: they take turns."""
    keys_read: set[bytes] = field(default_factory=set)
    queries: list[QueryPredicate] = field(default_factory=list)
    in_use: int = 0
    """Requests under way: a transaction that is just being used is not idle."""
    is_committing: bool = False
    """Its changes are on their way to the disk: whether they get there decides how it ends."""
    ended: threading.Event = field(default_factory=threading.Event)


class Transactions:
    """All transactions of a server; they are gone when it stops.

    Real service: a transaction lives for at most 270 s, and ends after 60 s without a request; committing or
    using one that has ended is INVALID_ARGUMENT; rolling back one that was rolled back is fine.
    """

    def __init__(
        self,
        clock: Clock,
        idle_seconds: float,
        total_seconds: float,
        on_end: Callable[[Transaction], None],
    ) -> None:
        self._clock = clock
        self._idle_us = int(idle_seconds * SECOND_US)
        self._total_us = int(total_seconds * SECOND_US)
        self._on_end = on_end
        self._mutex = threading.Lock()
        self._run = secrets.randbits(64)
        self._numbers = count(1)
        self._open: dict[bytes, Transaction] = {}
        self._ended: dict[bytes, str] = {}

    def new_owner(self) -> Owner:
        """An owner of locks, younger than all before it."""
        return Owner(next(self._numbers))

    def begin(self, database: tuple[str, str], is_read_only: bool, snapshot: int | None) -> Transaction:
        """A new transaction; it is in use from its next request on."""
        owner = self.new_owner()
        now = self._clock()
        transaction = Transaction(
            _id_of(self._run, owner.number), owner, is_read_only, snapshot, database, now, now
        )
        with self._mutex:
            self._open[transaction.id] = transaction
        return transaction

    def use(self, id_: bytes, database: tuple[str, str]) -> Transaction:
        """The open transaction of this id, in use until `used`. Raises Refused if there is none."""
        with self._mutex:
            transaction = self._open.get(id_)
            if transaction is None:
                raise self._refusal(id_)
            if transaction.database != database:
                raise invalid("The transaction belongs to another project or database.")
            now = self._clock()
            is_idle = not transaction.in_use and now - transaction.used_us > self._idle_us
            if not is_idle and now - transaction.begun_us <= self._total_us:
                transaction.in_use += 1
                transaction.used_us = now
                return transaction
        self.end(transaction, "expired")
        raise self._refusal(id_)

    def used(self, transaction: Transaction) -> None:
        """A request of this transaction is answered."""
        with self._mutex:
            transaction.in_use -= 1
            transaction.used_us = self._clock()

    def begin_commit(self, transaction: Transaction) -> None:
        """From now on nothing but its commit ends it. Raises Refused if something has."""
        with self._mutex:
            if transaction.id not in self._open:
                raise self._refusal(transaction.id)
            transaction.is_committing = True

    def end(self, transaction: Transaction, how: str, *, by_commit: bool = False) -> bool:
        """Take it out, and release what it holds; False if it had ended before, or is being committed."""
        with self._mutex:
            if transaction.is_committing and not by_commit:
                return False
            if self._open.pop(transaction.id, None) is None:
                return False
            self._ended[transaction.id] = how
            if len(self._ended) > _REMEMBERED_ENDS:
                del self._ended[next(iter(self._ended))]
        self._on_end(transaction)
        transaction.ended.set()
        return True

    def rollback(self, id_: bytes, database: tuple[str, str]) -> None:
        """End it without effect. Raises Refused for one that was committed, or never was.

        Waits for a commit that is on its way to the disk: only then is known which of the two it was.
        """
        with self._mutex:
            transaction = self._open.get(id_)
            how = self._ended.get(id_)
            if transaction is None and how not in ("rolled back", "aborted", "expired"):
                raise self._refusal(id_)
        if transaction is not None:
            if transaction.database != database:
                raise invalid("The transaction belongs to another project or database.")
            if not self.end(transaction, "rolled back"):
                transaction.ended.wait()
                self.rollback(id_, database)

    def expire(self) -> None:
        """End those that lived too long, or were not used for too long."""
        now = self._clock()
        with self._mutex:
            expired = [
                each
                for each in self._open.values()
                if now - each.begun_us > self._total_us
                or (not each.in_use and now - each.used_us > self._idle_us)
            ]
        for transaction in expired:
            self.end(transaction, "expired")

    def with_queries(self) -> list[Transaction]:
        """Open transactions that have run queries."""
        with self._mutex:
            return [each for each in self._open.values() if each.queries]

    def oldest_snapshot(self) -> int | None:
        """The oldest version that an open transaction may read."""
        with self._mutex:
            return min(
                (each.snapshot for each in self._open.values() if each.snapshot is not None), default=None
            )

    def clear(self) -> None:
        """End all, without effect."""
        with self._mutex:
            transactions = list(self._open.values())
        for transaction in transactions:
            self.end(transaction, "expired")

    def _refusal(self, id_: bytes) -> Refused:
        how = self._ended.get(id_)
        if how == "committed":
            return invalid("The referenced transaction has already been committed.")
        if how == "rolled back":
            return invalid("The referenced transaction has been rolled back.")
        return invalid("The referenced transaction has expired or is no longer valid.")
