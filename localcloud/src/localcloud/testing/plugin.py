"""pytest fixtures: each is a function that starts something and ends it with the test. A test that fails is
reported with what the local clouds printed during it.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from localcloud.testing.cloud import LocalCloud, started
from localcloud.testing.servers import DatastoreProcess, FaultyProxy, TasksProcess

_OFFSETS = pytest.StashKey[dict[LocalCloud, int]]()


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """What clouds of a wider scope have printed before belongs to other tests."""
    item.stash[_OFFSETS] = {cloud: cloud.printed_bytes() for cloud in started}


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Add a section for each cloud that has printed something, before the fixtures end it."""
    report = yield
    if report.failed and call.when == "call":
        offsets = item.stash.get(_OFFSETS, {})
        for cloud in started:
            offset = offsets.get(cloud, 0)
            if cloud.printed_bytes() > offset:
                report.sections.append((f"localcloud, {cloud.data}", cloud.report(offset)))
    return report


@pytest.fixture
def start_local_cloud(tmp_path: Path) -> Iterator[Callable[..., LocalCloud]]:
    """`start_local_cloud(["app.yaml", "queue.yaml"], root=folder, ...)`: a LocalCloud, ready."""
    with ExitStack() as running:
        count = 0

        def start(
            files: Sequence[str | Path], *, root: Path, data: Path | None = None, **options: Any
        ) -> LocalCloud:
            nonlocal count
            count += 1
            cloud = LocalCloud(files, root=root, data=data or tmp_path / f"cloud-{count}", **options)
            return running.enter_context(cloud)

        yield start


@pytest.fixture
def start_datastore(tmp_path: Path) -> Iterator[Callable[..., DatastoreProcess]]:
    """`start_datastore("--ttl", "Kind.property")`: a DatastoreProcess, ready."""
    with ExitStack() as running:

        def start(*options: str, folder: Path | None = None) -> DatastoreProcess:
            return running.enter_context(DatastoreProcess(folder or tmp_path / "datastore", *options))

        yield start


@pytest.fixture
def start_tasks(tmp_path: Path) -> Iterator[Callable[..., TasksProcess]]:
    """`start_tasks(Path("queue.yaml"), {"worker": url})`: a TasksProcess, ready."""
    with ExitStack() as running:

        def start(
            queue_file: Path, targets: Mapping[str, str], *options: str, folder: Path | None = None
        ) -> TasksProcess:
            process = TasksProcess(queue_file, targets, *options, folder=folder or tmp_path / "tasks")
            return running.enter_context(process)

        yield start


@pytest.fixture
def start_faulty_proxy(tmp_path: Path) -> Iterator[Callable[..., FaultyProxy]]:
    """`start_faulty_proxy(datastore=address)`: a FaultyProxy, ready."""
    with ExitStack() as running:

        def start(**servers: str) -> FaultyProxy:
            return running.enter_context(FaultyProxy(folder=tmp_path / "faults", **servers))

        yield start
