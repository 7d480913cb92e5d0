"""What transactions have asked by query, as locks: a commit must not change unseen what a query would see.

A query is kept as a predicate, so that it guards exactly its results, also those that are not there yet. A
commit waits for the transactions whose queries it would touch; a new query waits for the commits that wait
and would touch it, for else those who try again at once would keep an old commit waiting for ever.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from localcloud.datastore.indexing import IndexedValues
from localcloud.datastore.locks import LockTable, Owner
from localcloud.datastore.storage import Change, Storage
from localcloud.datastore.transactions import QueryPredicate, Transaction, Transactions


class QueryLocks:
    """The queries of open read-write transactions, and the commits that wait for them."""

    def __init__(
        self, storage: Storage, transactions: Transactions, locks: LockTable, *, is_pessimistic: bool
    ) -> None:
        self._storage = storage
        self._transactions = transactions
        self._locks = locks
        self._is_pessimistic = is_pessimistic
        self._waiting: dict[Owner, Sequence[Change]] = {}

    def enter(self, transaction: Transaction, sees: QueryPredicate) -> None:
        """Note a query before it is run. Raises Refused (ABORTED) if it can't be."""
        deadline = self._locks.deadline()
        while True:
            # With this mutex held no commit is between its look at the queries and its end.
            with self._storage.writing_mutex:
                blockers = [
                    owner
                    for owner, changes in self._waiting.items()
                    if owner is not transaction.owner and any(_sees(sees, change) for change in changes)
                ]
                if not blockers:
                    transaction.queries.append(sees)
                    return
            self._locks.wait_for(transaction.owner, blockers, deadline)

    def readers_of(self, changes: Sequence[Change], transaction: Transaction | None) -> list[Owner]:
        """Who else has run, in a transaction, a query that sees these changes. Inside `writing_mutex`."""
        if not self._is_pessimistic:
            return []
        return [
            other.owner
            for other in self._transactions.with_queries()
            if other is not transaction and any(is_seen(change, other) for change in changes)
        ]

    def wait(
        self, owner: Owner, changes: Sequence[Change], blockers: Sequence[Owner], deadline: float
    ) -> None:
        """Wait until one of the blockers has ended. Until `done`, new queries wait for this commit."""
        with self._storage.writing_mutex:
            self._waiting[owner] = changes
        self._locks.wait_for(owner, blockers, deadline)

    def done(self, owner: Owner) -> None:
        """The commit has happened, or never will."""
        if owner in self._waiting:
            with self._storage.writing_mutex:
                self._waiting.pop(owner, None)


def is_seen(change: Change, transaction: Transaction) -> bool:
    """Does one of the transaction's queries see this change?"""
    return any(_sees(sees, change) for sees in transaction.queries)


def _sees(sees: QueryPredicate, change: Change) -> bool:
    return any(sees(change.key, change.kind, values) for values in _images(change))


def _images(change: Change) -> Iterator[IndexedValues]:
    """The entity's values before and after, as far as it was and is there."""
    if change.after is not None:
        yield change.values
    if change.before is not None:
        yield change.values if change.values_before is None else change.values_before
