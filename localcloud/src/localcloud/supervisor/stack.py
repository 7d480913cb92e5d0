"""The whole local cloud: what starts in which order, what is printed about it, and how it ends."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
from http import HTTPStatus
from typing import Any

from localcloud.configuration import Application, Service
from localcloud.supervisor.commands import Commands
from localcloud.supervisor.guard import Guard
from localcloud.supervisor.http_call import http_call
from localcloud.supervisor.lazy_console import LazyConsole
from localcloud.supervisor.logs import Console, LogFile
from localcloud.supervisor.options import Options
from localcloud.supervisor.ports import is_listening
from localcloud.supervisor.process import Command, Process, StartError, Surroundings
from localcloud.supervisor.readiness import first_request_probe
from localcloud.supervisor.refusals import Refusals
from localcloud.supervisor.reloading import Reloader
from localcloud.supervisor.runtimes import remarks
from localcloud.supervisor.start_watch import Starting, StartWatch
from localcloud.supervisor.state import STATE_FILE, DataFolder
from localcloud.supervisor.timeline import TIMELINE_FILE, Timeline

_LOOK_EVERY_SECONDS = 0.25


class Stack:
    """All processes of one run."""

    def __init__(self, options: Options, application: Application, folder: DataFolder) -> None:
        self.options = options
        self.application = application
        self._folder = folder
        self._console = Console()
        self._guard = Guard()
        self._commands = Commands(options, application, folder.path)
        self._refusals = Refusals(self._console.say)
        self._timeline = Timeline(LogFile(folder.log_folder / TIMELINE_FILE, self._refusals.note))
        self._console.on_say = self._timeline.say
        self._shared = Surroundings(
            self._console,
            self._guard,
            folder.log_folder,
            self._refusals,
            self._publish,
            self._timeline.add,
        )
        self._lazy_console = LazyConsole(self._commands, self._shared, self._restart)
        self._is_published = True
        self._platform: dict[str, Process] = {}
        self.instances: dict[str, list[Process]] = {}
        self._is_ready = False
        self._servers_ready = asyncio.Event()
        self._watching: asyncio.Task[None] | None = None

    async def run(self) -> int:
        """Start everything, keep it running until a signal comes, stop everything. The exit status."""
        interrupted = self._listen_for_signals()
        # Looks at the files now, or it would miss what changes while the services start.
        reloader = Reloader(self, self._console, self._folder.path) if self.options.reloads else None
        reloading: asyncio.Task[None] | None = None
        mending = asyncio.create_task(self._keep_in_order())
        try:
            started = asyncio.create_task(self._start())
            waiting = asyncio.create_task(interrupted.wait())
            await asyncio.wait({started, waiting}, return_when=asyncio.FIRST_COMPLETED)
            if started.done():
                try:
                    started.result()
                except StartError as error:
                    if error.status == 1:  # a service's own trouble: what it printed may help
                        self._console.release()
                    text = str(error) if str(error).startswith("localcloud.") else f"localcloud: {error}"
                    print(text, file=sys.stderr, flush=True)
                    for taken in filter(None, (one.takes(self._commands.port) for one in self._starting())):
                        print(f"localcloud: {taken}", file=sys.stderr, flush=True)
                    return error.status
                self._announce()
                if reloader is not None:
                    reloading = asyncio.create_task(reloader.run())
                await interrupted.wait()
            else:
                started.cancel()
            return 0
        finally:
            if reloading is not None:
                reloading.cancel()
            await self._stop(mending)

    async def restart_service(self, service: Service) -> None:
        """Start the service's instances again, one after the other, as its file now says."""
        for process, instance in zip(
            self.instances[service.name], self._commands.instances[service.name], strict=True
        ):
            process.command = self._commands.instance(service, instance)
            restarts = process.restarts
            process.restart()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(10.0):
                    while process.restarts == restarts or not process.is_ready:
                        await asyncio.sleep(0.05)

    def reread_routes(self) -> None:
        """A service's handlers have changed: tell those who route by them."""
        self._platform["frontend"].reread()
        if "tasks" in self._platform:
            self._platform["tasks"].restart()

    async def _start(self) -> None:
        self._console.hold()
        commands = self._commands
        for remark in remarks(self.application.services.values()):
            self._console.say(remark)
        if not commands.starts_datastore:
            self._say_elsewhere("DATASTORE_EMULATOR_HOST", commands.real_datastore_address)
        if not commands.starts_tasks:
            self._say_elsewhere("CLOUD_TASKS_EMULATOR_HOST", commands.real_tasks_address)
            if self.application.cron_file is not None:
                self._console.say(
                    "cron.yaml is not run: our own Cloud Tasks would do that, and is not started."
                )
        first = []
        if commands.starts_datastore:
            first.append(self._start_platform(commands.datastore()))
        if self.options.faults:
            first.append(self._start_platform(commands.faults()))
        if commands.starts_tasks:
            first.append(self._start_platform(commands.tasks()))
        frontend = self._platform["frontend"] = Process(commands.frontend(), self._shared)
        self._lazy_console.listen()
        others: list[asyncio.Future[None]] = []
        for service in self.application.services.values():
            others += self._start_service(service)
        self._publish()
        self._watching = asyncio.create_task(StartWatch(self._starting(), self._console.say).run())
        try:
            await asyncio.gather(*first)
            await self._disturb_deliveries()
            self._console.release()
            self._servers_ready.set()
            await asyncio.gather(*others)
            # Last: everything is ready for the first visitor.
            await frontend.start()
        except StartError:
            for future in (*first, *others):
                future.add_done_callback(lambda done: done.cancelled() or done.exception())
            raise
        self._is_ready = True
        self._publish()

    def _restart(self, label: str) -> None:
        """A visitor of the console wants it."""
        for process in self._all():
            if process.command.label == label:
                self._console.say(f"{label} is restarted from the console.")
                process.restart()

    def _starting(self) -> list[Starting]:
        return [Starting(process) for process in self._platform.values()] + [
            Starting(process, service, instance.port)
            for service in self.application.services.values()
            for process, instance in zip(
                self.instances[service.name], self._commands.instances[service.name], strict=True
            )
        ]

    async def _disturb_deliveries(self) -> None:
        """What the faults file says under `deliveries` is the dispatcher's to do."""
        if self.options.faults is None or self._commands.tasks_http is None:
            return
        wanted = json.loads(self.options.faults.read_text(encoding="utf-8")).get("deliveries")
        if wanted is None:
            return
        status, said = await http_call(
            self._commands.tasks_http,
            "POST",
            "/faults",
            json.dumps(wanted).encode(),
            {"Content-Type": "application/json"},
        )
        if status != HTTPStatus.OK:
            raise StartError(f"{self.options.faults}, deliveries: {said}", status=2)

    def _start_platform(self, command: Command) -> asyncio.Future[None]:
        process = self._platform[command.label] = Process(command, self._shared)
        return process.start()

    def _start_service(self, service: Service) -> list[asyncio.Future[None]]:
        processes = self.instances[service.name] = []
        for instance in self._commands.instances[service.name]:
            probe = first_request_probe(
                instance.host,
                instance.port,
                service.first_request,
                f"{service.name}.localhost",
                self._wait_for_servers,
            )
            processes.append(Process(self._commands.instance(service, instance), self._shared, probe))
        return [process.start() for process in processes]

    async def _wait_for_servers(self) -> None:
        await self._servers_ready.wait()

    def _listen_for_signals(self) -> asyncio.Event:
        """Set at the first SIGINT, SIGTERM or SIGHUP; the second kills everything at once."""
        interrupted = asyncio.Event()

        def interrupt() -> None:
            if interrupted.is_set():
                for process in self._all():
                    process.kill()
            else:
                interrupted.set()

        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            asyncio.get_running_loop().add_signal_handler(number, interrupt)
        return interrupted

    async def _keep_in_order(self) -> None:
        """Until cancelled: a guard that was killed is replaced, and what a full disk refused is published."""
        while True:
            await asyncio.sleep(_LOOK_EVERY_SECONDS)
            self._guard.renew()
            if not self._is_published:
                self._publish()

    async def _stop(self, mending: asyncio.Task[None]) -> None:
        """From the outside in: no new requests, no new deliveries, then the services, finally their data."""
        if self._watching is not None:
            self._watching.cancel()
        if self._is_ready:
            self._console.say("Stopping ...")
        await self._lazy_console.stop()
        services = [process for processes in self.instances.values() for process in processes]
        for group in (
            self._named("frontend"),
            self._named("tasks"),
            services,
            self._named("faults", "datastore"),
        ):
            await asyncio.gather(*(process.stop() for process in group))
        mending.cancel()
        self._guard.close()
        self._timeline.close()
        self._folder.close()

    def _named(self, *labels: str) -> list[Process]:
        return [self._platform[label] for label in labels if label in self._platform]

    def _all(self) -> list[Process]:
        console = self._lazy_console.process
        services = [one for some in self.instances.values() for one in some]
        return [*self._platform.values(), *filter(None, [console]), *services]

    def _url(self, service: str) -> str:
        host = self.options.host
        name = "localhost" if host == "127.0.0.1" else f"[{host}]" if ":" in host else host
        is_default = service == self.application.routes.default()
        if not is_default:
            name = f"{service}.{name}" if name == "localhost" else f"{service}-dot-{name}"
        return f"http://{name}:{self._commands.port}"

    def _say_elsewhere(self, variable: str, address: str) -> None:
        """Somebody else's server is used; perhaps by mistake, with a variable left over from another run."""
        host, _, port = address.rpartition(":")
        answers = not port.isdecimal() or is_listening(host, int(port))
        dead = "" if answers else " Nothing answers there now: unset the variable to have a server started."
        self._console.say(f"{variable} is set: the server at {address} is used, and none is started.{dead}")

    def _announce(self) -> None:
        commands = self._commands
        default = self._url(self.application.routes.default())
        rows = [(f"{name}", self._url(name)) for name in self.application.services]
        rows.append(("sign in", f"{default}/_ah/login"))
        rows.append(("console", commands.console_url))
        rows.append(("Datastore", f"export DATASTORE_EMULATOR_HOST={commands.datastore_address}"))
        rows.append(("Cloud Tasks", f"export CLOUD_TASKS_EMULATOR_HOST={commands.tasks_address}"))
        # For clients that do not speak gRPC.
        http = {"Datastore": commands.datastore_http, "Cloud Tasks": commands.tasks_http}
        addresses = [f"{name} {address}" for name, address in http.items() if address is not None]
        if addresses:
            rows.append(("over HTTP", ", ".join(addresses)))
        rows.append(("project", f"export GOOGLE_CLOUD_PROJECT={self.options.project}"))
        rows.append(("data, logs", f"{self._folder.path} (logs/NAME.log)"))
        width = max(len(name) for name, _ in rows)
        self._console.say(f"localcloud ready on {self.options.host}:{self._commands.port}")
        for name, value in rows:
            self._console.say(f"  {name:<{width}}  {value}")
        if commands.exposed:
            self._console.say(
                f"Pages in a browser here may reach {', '.join(commands.exposed)} past the front end: "
                "the entrypoint does not say where to listen. Let it say :$PORT or 0.0.0.0, for example "
                "gunicorn --bind :$PORT (docs/frontend.md, Instances)."
            )
        self._console.say("Ctrl-C stops everything.")

    def _publish(self) -> None:
        commands = self._commands
        state: dict[str, Any] = {
            "pid": os.getpid(),
            "ready": self._is_ready,
            "project": self.options.project,
            "region": self.options.region,
            "address": f"{self.options.host}:{self._commands.port}",
            "datastore": {"address": commands.datastore_address, "http": commands.datastore_http},
            "tasks": {"address": commands.tasks_address, "http": commands.tasks_http},
            "faults": {"http": commands.faults_http},
            "console": {"url": commands.console_url},
            "services": {
                name: {
                    "url": self._url(name),
                    "instances": [{"label": one.label, "url": one.url} for one in commands.instances[name]],
                }
                for name in self.application.services
            },
            "processes": {
                process.command.label: {
                    "pid": process.pid,
                    "ready": process.is_ready,
                    "restarts": process.restarts,
                    "log": str(process.log.path),
                }
                for process in self._all()
            },
        }
        try:
            self._folder.publish(state)
            self._is_published = True
        except OSError as error:  # a full disk: the processes are watched all the same
            self._is_published = False
            self._refusals.note(self._folder.path / STATE_FILE, error)
