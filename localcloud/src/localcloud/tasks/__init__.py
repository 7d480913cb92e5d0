"""A local Cloud Tasks: google.cloud.tasks.v2 over gRPC, and the dispatcher that pushes tasks to their
handlers.

`python -m localcloud.tasks --queues queue.yaml --port 8123 --target http://127.0.0.1:9000` runs it alone;
inside a test, `TasksServer` does.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from localcloud.tasks.server import TasksServer as TasksServer

__all__ = ["TasksServer"]


def __getattr__(name: str) -> Any:
    # Imported when first asked for: the command line's small commands need none of the server.
    if name == "TasksServer":
        from localcloud.tasks.server import TasksServer

        return TasksServer
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
