"""How each process of the local cloud is started: its command, its environment, its port."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from localcloud.configuration import Application, Service
from localcloud.supervisor.environment import Cloud, service_environment
from localcloud.supervisor.listening import LOOPBACK, draw_address, listening
from localcloud.supervisor.options import Options
from localcloud.supervisor.ports import FreePorts
from localcloud.supervisor.process import Command

PLATFORM_LABELS = ("datastore", "tasks", "frontend", "faults", "console")


@dataclass(frozen=True, slots=True)
class Instance:
    """One process of a service, at an address that is its own for as long as the local cloud runs."""

    service: str
    label: str
    host: str
    port: int

    @property
    def url(self) -> str:
        return f"http://{self.host}:{self.port}"


class Commands:
    """Draws the ports once, and writes the command of every process."""

    def __init__(self, options: Options, application: Application, data: Path) -> None:
        self._options = options
        self._application = application
        self._data = data
        self._deployment = time.strftime("%Y%m%dt%H%M%S")
        self._ports = ports = FreePorts(LOOPBACK)  # kept: with it, its claims would go
        self.port = options.port or ports.take()
        given_datastore = os.environ.get("DATASTORE_EMULATOR_HOST")
        given_tasks = os.environ.get("CLOUD_TASKS_EMULATOR_HOST")
        self.starts_datastore = given_datastore is None
        self.starts_tasks = given_tasks is None
        self.real_datastore_address = given_datastore or _inside(options.datastore_port or ports.take())
        self.real_tasks_address = given_tasks or _inside(options.tasks_port or ports.take())
        self.datastore_http = _inside(ports.take()) if self.starts_datastore else None
        self.tasks_http = _inside(ports.take()) if self.starts_tasks else None
        # With faults, the services' way to both servers leads through the proxy that makes them.
        self.faults_http = _inside(ports.take()) if options.faults else None
        self.datastore_address = _inside(ports.take()) if options.faults else self.real_datastore_address
        self.tasks_address = _inside(ports.take()) if options.faults else self.real_tasks_address
        self._address = draw_address()
        self.console_port = options.console_port or ports.take()
        self.instances: Mapping[str, list[Instance]] = {
            name: [
                Instance(
                    name,
                    _label(name, number, options.instances.get(name, 1)),
                    listening(service.entrypoint, self._address).host,
                    ports.take(),
                )
                for number in range(1, options.instances.get(name, 1) + 1)
            ]
            for name, service in application.services.items()
        }

    @property
    def console_url(self) -> str:
        return f"http://localhost:{self.console_port}"

    @property
    def exposed(self) -> list[str]:
        """The services that choose their address themselves, so that a page in a browser may find them.
        None if all are at 127.0.0.1 because the system has no other.
        """
        hosts = {name: instances[0].host for name, instances in self.instances.items()}
        return [name for name, host in hosts.items() if host == LOOPBACK != self._address]

    def datastore(self) -> Command:
        options = self._options
        arguments = _module("datastore") + _listen(self.real_datastore_address)
        arguments += ["--data", str(self._data / "datastore.sqlite3")]
        arguments += ["--http-port", _port(self.datastore_http)]
        for ttl in options.ttl:
            arguments += ["--ttl", ttl]
        if self._application.index_file:
            arguments += ["--require-indexes", str(self._application.index_file)]
        if options.transaction_idle_seconds is not None:
            arguments += ["--transaction-idle-seconds", str(options.transaction_idle_seconds)]
        return self._platform("datastore", arguments)

    def tasks(self) -> Command:
        options, application = self._options, self._application
        arguments = _module("tasks") + _listen(self.real_tasks_address)
        arguments += ["--data", str(self._data / "tasks.sqlite3"), "--http-port", _port(self.tasks_http)]
        arguments += ["--project", options.project, "--location", options.region]
        if application.queue_file:
            arguments += ["--queues", str(application.queue_file)]
        if application.dispatch_file:
            arguments += ["--dispatch", str(application.dispatch_file)]
        if application.cron_file:
            arguments += ["--cron", str(application.cron_file)]
        return self._platform("tasks", arguments + self._targets())

    def frontend(self) -> Command:
        options = self._options
        arguments = [*_module("frontend"), "--host", options.host, "--port", str(self.port)]
        arguments += ["--data", str(self._data)]
        if self._application.dispatch_file:
            arguments += ["--dispatch", str(self._application.dispatch_file)]
        if options.allows_any_host:
            arguments.append("--any-host")
        return self._platform("frontend", arguments + self._targets())

    def faults(self) -> Command:
        arguments = [*_module("faults"), *_listen(self.datastore_address)]
        arguments += ["--datastore", self.real_datastore_address, "--tasks", self.real_tasks_address]
        arguments += ["--tasks-port", _port(self.tasks_address), "--http-port", _port(self.faults_http)]
        return self._platform("faults", [*arguments, "--script", str(self._options.faults)])

    def console(self, listening: int, orders: int) -> Command:
        """`listening` and `orders` are open files of the supervisor: a socket, and the end of a pipe."""
        options = self._options
        arguments = [*_module("console"), "--listening", str(listening), "--orders", str(orders)]
        arguments += ["--data", str(self._data), "--project", options.project, "--region", options.region]
        arguments += ["--datastore", self.real_datastore_address, "--tasks", self.real_tasks_address]
        for option, address in (("--datastore-http", self.datastore_http), ("--tasks-http", self.tasks_http)):
            arguments += [option, address] if address else []
        arguments += ["--rest-seconds", f"{options.console_rest_seconds:g}"]
        command = self._platform("console", arguments)
        command.inherits = (listening, orders)
        return command

    def instance(self, service: Service, instance: Instance) -> Command:
        """Real service: the entrypoint runs through a shell, in the application's folder."""
        cloud = Cloud(
            project=self._options.project,
            region=self._options.region,
            deployment=self._deployment,
            datastore_address=self.datastore_address,
            tasks_address=self.tasks_address,
            overrides=self._options.environment,
        )
        program = listening(service.entrypoint, instance.host)
        environment = service_environment(service, cloud, instance.port, instance.label)
        environment.update(program.variables(environment, instance.port))
        return Command(
            label=instance.label,
            arguments=["/bin/sh", "-c", program.entrypoint],
            environment=environment,
            folder=service.folder,
            stop_seconds=8.0,
            leads=service.entrypoint.startswith("exec "),  # as Google's parser writes a plain command
        )

    def _platform(self, name: str, arguments: list[str]) -> Command:
        package_folder = str(Path(__file__).parents[2])
        paths = [package_folder, *filter(None, [os.environ.get("PYTHONPATH")])]
        return Command(
            label=name,
            arguments=arguments,
            environment={
                # Most of these threads wait: an arena for each (glibc's default) would only take memory.
                "MALLOC_ARENA_MAX": "2",
                **os.environ,
                "PYTHONUNBUFFERED": "1",
                "PYTHONPATH": os.pathsep.join(paths),
            },
            folder=Path.cwd(),
            ready_line=f"localcloud.{name} ready on",
        )

    def _targets(self) -> list[str]:
        arguments: list[str] = []
        for name, instances in self.instances.items():
            urls = ",".join(instance.url for instance in instances)
            arguments += ["--target", f"{name}={urls}"]
        for service in self._application.services.values():
            arguments += ["--app", str(service.file)]
        return arguments


def _inside(port: int) -> str:
    return f"{LOOPBACK}:{port}"


def _label(service: str, number: int, count: int) -> str:
    name = f"{service}-service" if service in PLATFORM_LABELS else service
    return f"{name}-{number}" if count > 1 else name


def _module(name: str) -> list[str]:
    return [sys.executable, "-m", f"localcloud.{name}"]


def _listen(address: str) -> list[str]:
    host, _, port = address.rpartition(":")
    return ["--host", host, "--port", port]


def _port(address: str | None) -> str:
    return address.rpartition(":")[2] if address else "0"
