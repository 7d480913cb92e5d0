"""A local Datastore: google.datastore.v1 over gRPC, on SQLite.

`python -m localcloud.datastore` runs it alone; `DatastoreServer` runs it inside a program, a test for
instance. It knows nothing of the application that uses it.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from localcloud.datastore.server import DatastoreServer

__all__ = ["DatastoreServer"]


def __getattr__(name: str) -> Any:
    # Late, so that a mistake on the command line is reported before gRPC has been loaded.
    if name == "DatastoreServer":
        from localcloud.datastore.server import DatastoreServer

        return DatastoreServer
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
