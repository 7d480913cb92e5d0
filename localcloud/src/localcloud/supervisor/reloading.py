"""Starts a service again when its files have changed, and takes over what its YAML file now says."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from localcloud.configuration import Application, ConfigurationError, Service, load_application
from localcloud.routing import Kind
from localcloud.supervisor.file_watch import FileWatch
from localcloud.supervisor.listening import is_told_where
from localcloud.supervisor.logs import Console
from localcloud.supervisor.options import Options

_LOOK_EVERY_SECONDS = 1.0


class Reloadable(Protocol):
    """What can be told to start over."""

    options: Options
    application: Application

    async def restart_service(self, service: Service) -> None: ...

    def reread_routes(self) -> None: ...


class Reloader:
    """Looks at the files of all services once a second."""

    def __init__(self, stack: Reloadable, console: Console, data: Path) -> None:
        self._stack = stack
        self._console = console
        self._data = data
        self._watches = _watches(stack.application.services, data)

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await asyncio.sleep(_LOOK_EVERY_SECONDS)
            for watch in self._watches:
                changed = watch.changed()
                if changed:
                    await self._take_over(watch.folder, changed)

    async def _take_over(self, folder: Path, changed: list[Path]) -> None:
        shown = ", ".join(str(path.relative_to(folder)) for path in changed[:3])
        shown += f" and {len(changed) - 3} more" if len(changed) > 3 else ""
        application = self._stack.application
        services = application.services.values()
        described = {file for service in services for file in (service.file, *service.included)}
        for file in (application.queue_file, application.dispatch_file, application.cron_file):
            if file is not None:
                described.add(file.absolute())
        if described.intersection(changed):
            try:
                fresh = load_application(self._stack.options.files)
            except ConfigurationError as error:
                self._console.say(f"{shown} changed, but stays without effect: {error}")
                return
            if fresh.services.keys() != application.services.keys():
                self._console.say(f"{shown} changed the services' names: stop and start to follow.")
                return
            moved = [
                name
                for name, service in fresh.services.items()
                if is_told_where(service.entrypoint) != is_told_where(application.services[name].entrypoint)
            ]
            if moved:
                self._console.say(
                    f"{shown} changed where {', '.join(moved)} listens: stop and start to follow."
                )
                return
            self._stack.application = fresh
            self._stack.reread_routes()
        changed_services = [s for s in self._stack.application.services.values() if s.folder == folder]
        self._console.say(f"{shown} changed: starting {', '.join(s.name for s in changed_services)} again.")
        await asyncio.gather(*(self._stack.restart_service(service) for service in changed_services))


def _watches(services: Mapping[str, Service], data: Path) -> list[FileWatch]:
    """One watch per folder; static files are always read from disk anyway."""
    skipped: dict[Path, set[Path]] = {}
    for service in services.values():
        static = skipped.setdefault(service.folder, {data})
        for handler in service.routes.handlers:
            if handler.kind is Kind.STATIC_DIR:
                static.add(service.folder / handler.path.rstrip("/"))
    return [FileWatch.over(folder, paths) for folder, paths in skipped.items()]
