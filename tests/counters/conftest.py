"""A worker on a real Datastore, with the fast path and without."""

from tests.pushtasks.conftest import fast_path, later, make_worker

__all__ = ["fast_path", "later", "make_worker"]
