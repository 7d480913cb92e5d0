"""The local cloud in tests: the real processes on free ports, started, killed and looked into from a test.

`pytest_plugins = ["localcloud.testing.plugin"]` in conftest.py brings the fixtures; the classes work without
pytest, too.
"""

from localcloud.testing.cloud import LocalCloud
from localcloud.testing.errors import LocalCloudError
from localcloud.testing.servers import DatastoreProcess, FaultyProxy, TasksProcess

__all__ = ["DatastoreProcess", "FaultyProxy", "LocalCloud", "LocalCloudError", "TasksProcess"]
