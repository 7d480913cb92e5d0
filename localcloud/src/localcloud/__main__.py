"""`python -m localcloud app.yaml worker.yaml queue.yaml`: the whole application, on this machine."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence

from localcloud.configuration import Application, ConfigurationError, load_application
from localcloud.console import transfer_command
from localcloud.console.transfer_command import COMMANDS
from localcloud.fixed_port import fixed_port, with_variable
from localcloud.supervisor.options import Options, parse
from localcloud.supervisor.ports import PortTakenError, require_free
from localcloud.supervisor.stack import Stack
from localcloud.supervisor.state import DataFolder, FolderInUseError


def main(arguments: Sequence[str]) -> int:
    """Run until a signal comes. The exit status: see `--help`."""
    if arguments and arguments[0] in COMMANDS:
        return transfer_command.main(arguments)
    options = parse(arguments)
    try:
        application = load_application(options.files)
        _require_known_services(options, application)
        _require_entrypoints(application)
        _require_other_ports(options, application)
        if options.faults and not options.faults.is_file():
            raise ConfigurationError(f"--faults {options.faults}: there is no such file")
        folder = DataFolder(options.data)
        for host, port, option in (
            (options.host, options.port, "--port"),
            ("127.0.0.1", options.datastore_port, "--datastore-port"),
            ("127.0.0.1", options.tasks_port, "--tasks-port"),
            ("127.0.0.1", options.console_port, "--console-port"),
        ):
            require_free(host, port, option)
    except (ConfigurationError, FolderInUseError, PortTakenError) as error:
        print(f"localcloud: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        print(f"localcloud: the data folder {options.data} can't be used: {error}", file=sys.stderr)
        return 2
    return asyncio.run(_run(options, application, folder))


async def _run(options: Options, application: Application, folder: DataFolder) -> int:
    return await Stack(options, application, folder).run()


def _require_known_services(options: Options, application: Application) -> None:
    for name in options.instances:
        if name not in application.services:
            known = ", ".join(application.services)
            raise ConfigurationError(
                f"--instances {name}=...: no file describes this service; there are: {known}"
            )


def _require_entrypoints(application: Application) -> None:
    for service in application.services.values():
        if not service.entrypoint:
            raise ConfigurationError(
                f"{service.file}: runtime {service.runtime} is not Python, so the key 'entrypoint' must say "
                "how it is started; expected for example entrypoint: node server.js"
            )


def _require_other_ports(options: Options, application: Application) -> None:
    """A program and the front end can't both have the port; App Engine's PORT, 8080, is the usual one."""
    for service in application.services.values():
        port = fixed_port(service.entrypoint)
        if port and port == options.port:
            raise ConfigurationError(
                f"{service.file}: the entrypoint listens on port {port}, where the front end is to listen; "
                "the program's own port is in the variable PORT. "
                f"Write entrypoint: {with_variable(service.entrypoint, port)}"
            )


def command() -> int:
    """The command `localcloud`, where it is installed as a distribution."""
    return main(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(command())
